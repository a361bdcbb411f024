"""A network of four layers and a head, small enough to train robustly in seconds."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from robust_core.models.base import MODELS, Classifier, Normalize
from robust_core.models.fusion import FusedForm
from robust_core.models.heads import CosineHead, HeadBias, HeadKind, HeadNormalisation, create_head
from robust_core.parameters import Parameters


class SmallCNNParameters(Parameters):
    """Parameters of `small_cnn`."""

    width: Annotated[
        int,
        Field(
            ge=4, le=128, description="Channels of the first layer; the other layers scale with it."
        ),
    ] = 32
    head: HeadKind = "linear"
    head_bias: HeadBias = True
    head_normalisation: HeadNormalisation = "functional"


@MODELS.register("small_cnn")
class SmallCNN(Classifier):
    """Three 3x3 convolutions of stride 2 and one hidden linear layer, a ReLU after each.

    With w = `width`: conv C -> w -> 2w -> 4w, flatten, linear -> 4w features, linear -> K logits.
    No batch norm, no pooling: every layer but the ReLUs is affine. Images of any size.
    """

    Parameters = SmallCNNParameters
    fused_form = FusedForm("layers", (Normalize, CosineHead))  # no norm to fuse

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: SmallCNNParameters
    ):
        width = parameters.width
        super().__init__(image_shape, num_classes, num_features=4 * width)
        channels, *size = image_shape
        for _ in range(3):
            size = [(side + 1) // 2 for side in size]  # kernel 3, stride 2, padding 1
        self.normalize = Normalize()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * width * size[0] * size[1], 4 * width),
            nn.ReLU(),
        )
        self.classifier = create_head(self.num_features, num_classes, parameters)

    def features(self, x: Tensor) -> Tensor:
        """Return the hidden layer after its ReLU: [N,C,H,W] in [0, 1] -> [N,4w]."""
        return self.layers(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,4w] -> [N,K]."""
        return self.classifier(z)
