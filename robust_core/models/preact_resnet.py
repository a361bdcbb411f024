"""PreActResNet-18, the usual small network of adversarial training."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from robust_core.models.activations import Activation
from robust_core.models.base import MODELS, Classifier
from robust_core.models.heads import HeadBias, HeadKind, HeadNormalisation, create_head
from robust_core.models.normalisation import (
    CENTRE,
    NORMALISATION_FIELDS,
    Mean,
    PerImage,
    Std,
    create_normalisation,
)
from robust_core.models.preact_fusion import PREACT_FORM
from robust_core.models.preact_trunk import (
    Padding,
    PreActTrunk,
    ShortcutInput,
    TrunkVariant,
    check_sides,
)
from robust_core.parameters import Parameters


class PreActResNet18Parameters(Parameters):
    """Parameters of `preact_resnet18`."""

    width: Annotated[
        int,
        Field(
            ge=4,
            le=128,
            description="Channels of the first group; doubled in each following group.",
        ),
    ] = 64
    head: HeadKind = "linear"
    head_bias: HeadBias = True
    head_normalisation: HeadNormalisation = "functional"
    mean: Mean = CENTRE
    std: Std = CENTRE
    per_image: PerImage = False
    activation: Activation = "relu"
    padding: Padding = "symmetric"
    shortcut_input: ShortcutInput = "activated"
    shortcut_kernel: Annotated[
        Literal[1, 3],
        Field(description="Kernel size of the shortcuts' convolutions, where the shape changes."),
    ] = 1
    last_norm: Annotated[
        bool, Field(description="Normalisation and activation in front of the last mean.")
    ] = True


@MODELS.register("preact_resnet18")
class PreActResNet18(Classifier):
    """PreActResNet-18 with the stem for small images: 3x3, stride 1, no max-pooling.

    Four groups of two blocks with w, 2w, 4w, 8w channels (w = `width`), then BN, ReLU, mean, linear
    head. 11,172,170 parameters at w = 64, C = 3, K = 10.

    Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027.
    The variant is that of the AWP code (Wu et al., NeurIPS 2020, arXiv:2004.05884), with the last
    BN and ReLU of the paper that some public CIFAR ports leave out, and PyTorch's default initial
    weights. Here the mean goes over any final size and inputs are mapped to [-1, 1], if no other
    `mean` and `std` are given. The other switches are those of published networks.
    """

    Parameters = PreActResNet18Parameters
    fused_form = PREACT_FORM
    advanced = (
        *NORMALISATION_FIELDS,
        *("activation", "padding", "shortcut_input", "shortcut_kernel", "last_norm"),
    )

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        parameters: PreActResNet18Parameters,
    ):
        width = parameters.width
        super().__init__(image_shape, num_classes, num_features=8 * width)
        variant = TrunkVariant(
            parameters.activation,
            parameters.padding,
            parameters.shortcut_input,
            parameters.shortcut_kernel,
            parameters.last_norm,
        )
        check_sides(image_shape, variant, halvings=3)
        self.normalize = create_normalisation(parameters, image_shape[0])
        self.trunk = PreActTrunk(
            image_shape[0], width, [width, 2 * width, 4 * width, 8 * width], 2, variant
        )
        self.classifier = create_head(self.num_features, num_classes, parameters)

    def features(self, x: Tensor) -> Tensor:
        """Return the pooled last activations: [N,C,H,W] in [0, 1] -> [N,8w]."""
        return self.trunk(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,8w] -> [N,K]."""
        return self.classifier(z)
