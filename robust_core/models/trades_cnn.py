"""The network for MNIST of the TRADES code, so that its released weights can be used."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import MODELS, Classifier
from robust_core.models.fusion import FusedForm
from robust_core.models.normalisation import (
    CENTRE,
    NORMALISATION_FIELDS,
    NORMALISATIONS,
    Mean,
    PerImage,
    Std,
    create_normalisation,
)
from robust_core.parameters import Parameters

SMALLEST_SIDE = 16  # below it nothing is left after the second pooling


class TradesCNNParameters(Parameters):
    """Parameters of `trades_cnn`."""

    width: Annotated[
        int,
        Field(
            ge=4,
            le=128,
            description="Channels of the first two layers; the next two have twice as many.",
        ),
    ] = 32
    hidden: Annotated[int, Field(ge=4, le=1024, description="Size of the two hidden layers.")] = 200
    mean: Mean = CENTRE
    std: Std = CENTRE
    per_image: PerImage = False


@MODELS.register("trades_cnn")
class TradesCNN(Classifier):
    """Four 3x3 convolutions without padding, a max-pooling after each pair, two hidden layers.

    With w = `width`: conv C -> w -> w, pool, w -> 2w -> 2w, pool, flatten, two linear layers of
    `hidden` features with dropout of 0.5 between them, linear -> K logits; a ReLU after each.
    Images of at least 16x16.

    Source: SmallCNN of the code of Zhang et al., "Theoretically Principled Trade-off between
    Robustness and Accuracy", ICML 2019, arXiv:1901.08573, which takes pixels in [0, 1] as they are
    (mean 0, std 1) and starts from other weights than PyTorch's default ones, which are used here.
    """

    Parameters = TradesCNNParameters
    fused_form = FusedForm("layers", (*NORMALISATIONS, nn.MaxPool2d, nn.Dropout))  # nothing to fuse
    advanced = NORMALISATION_FIELDS

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: TradesCNNParameters
    ):
        channels, *size = image_shape
        if min(size) < SMALLEST_SIDE:
            raise InputError(
                f"trades_cnn takes images of at least {SMALLEST_SIDE}x{SMALLEST_SIDE} pixels, "
                f"got {size[0]}x{size[1]}"
            )
        width, hidden = parameters.width, parameters.hidden
        super().__init__(image_shape, num_classes, num_features=hidden)
        for _ in range(2):
            size = [(side - 4) // 2 for side in size]  # twice a kernel of 3, then the pooling
        self.normalize = create_normalisation(parameters, channels)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3),
            nn.ReLU(),
            nn.Conv2d(width, width, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * size[0] * size[1], hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(hidden, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the second hidden layer after its ReLU: [N,C,H,W] in [0, 1] -> [N,hidden]."""
        return self.layers(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,hidden] -> [N,K]."""
        return self.classifier(z)
