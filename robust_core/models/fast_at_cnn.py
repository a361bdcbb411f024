"""The network for MNIST of the Fast-AT code, so that its released weights can be used."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

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


class FastATCNNParameters(Parameters):
    """Parameters of `fast_at_cnn`."""

    width: Annotated[
        int,
        Field(ge=4, le=128, description="Channels of the first layer; the second has twice that."),
    ] = 16
    hidden: Annotated[int, Field(ge=4, le=1024, description="Size of the hidden layer.")] = 100
    mean: Mean = CENTRE
    std: Std = CENTRE
    per_image: PerImage = False


@MODELS.register("fast_at_cnn")
class FastATCNN(Classifier):
    """Two 4x4 convolutions of stride 2 and one hidden linear layer, a ReLU after each.

    With w = `width`: conv C -> w -> 2w, flatten, linear -> `hidden` features, linear -> K logits.
    Images of any size.

    Source: the network for MNIST of the code of Wong, Rice and Kolter, "Fast is Better than Free",
    ICLR 2020, arXiv:2001.03994, which takes pixels in [0, 1] as they are (mean 0, std 1).
    """

    Parameters = FastATCNNParameters
    fused_form = FusedForm("layers", NORMALISATIONS)  # no norm to fuse
    advanced = NORMALISATION_FIELDS

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: FastATCNNParameters
    ):
        channels, *size = image_shape
        width, hidden = parameters.width, parameters.hidden
        super().__init__(image_shape, num_classes, num_features=hidden)
        places = (size[0] // 4) * (size[1] // 4)
        self.normalize = create_normalisation(parameters, channels)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * places, hidden),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(hidden, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the hidden layer after its ReLU: [N,C,H,W] in [0, 1] -> [N,hidden]."""
        return self.layers(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,hidden] -> [N,K]."""
        return self.classifier(z)
