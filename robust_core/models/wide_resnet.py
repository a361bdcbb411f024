"""Wide residual networks, the large networks of adversarial training."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

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
from robust_core.models.preact_trunk import Padding, PreActTrunk, TrunkVariant, check_sides
from robust_core.parameters import Parameters

STEM_WIDTH = 16
MIN_DEPTH, MAX_DEPTH = 10, 106  # that of Rebuffi et al., arXiv:2103.01946, the deepest published


class WideResNetParameters(Parameters):
    """Parameters of `wide_resnet`."""

    depth: Annotated[
        int,
        Field(
            ge=MIN_DEPTH,
            le=MAX_DEPTH,
            description="Depth: 6n + 4 layers, with n blocks in each of three groups.",
        ),
    ] = 28
    widen_factor: Annotated[
        int,
        Field(
            ge=1,
            le=20,
            description="Widen factor: the groups have 16, 32 and 64 times this many channels.",
        ),
    ] = 10
    head: HeadKind = "linear"
    head_bias: HeadBias = True
    head_normalisation: HeadNormalisation = "functional"
    mean: Mean = CENTRE
    std: Std = CENTRE
    per_image: PerImage = False
    activation: Activation = "relu"
    padding: Padding = "symmetric"

    @model_validator(mode="after")
    def _check_depth(self) -> Self:
        if (self.depth - 4) % 6:
            known = ", ".join(str(depth) for depth in range(MIN_DEPTH, MAX_DEPTH + 1, 6))
            raise ValueError(f"depth must be 6n + 4 (one of {known}), got {self.depth}")
        return self


@MODELS.register("wide_resnet")
class WideResNet(Classifier):
    """WRN-d-k: three groups of n = (d - 4) / 6 blocks with 16k, 32k, 64k channels, no dropout.

    d = `depth`, k = `widen_factor`. WRN-28-10 has 36.48 M parameters for C = 3, K = 10. Initial
    weights: convolutions normal with variance 2 / (9 * out channels), head bias 0.

    Source: Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146, table 1;
    the variant is that of the TRADES and Feature Scattering code; with `padding` "same" and
    `activation` "silu" that of Gowal et al., arXiv:2010.03593. Here the mean goes over any final
    size and inputs are mapped to [-1, 1], if no other `mean` and `std` are given.
    """

    Parameters = WideResNetParameters
    fused_form = PREACT_FORM
    advanced = (*NORMALISATION_FIELDS, "activation", "padding")

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: WideResNetParameters
    ):
        width = STEM_WIDTH * parameters.widen_factor
        super().__init__(image_shape, num_classes, num_features=4 * width)
        variant = TrunkVariant(parameters.activation, parameters.padding)
        check_sides(image_shape, variant, halvings=2)
        self.normalize = create_normalisation(parameters, image_shape[0])
        self.trunk = PreActTrunk(
            image_shape[0],
            STEM_WIDTH,
            [width, 2 * width, 4 * width],
            blocks_per_group=(parameters.depth - 4) // 6,
            variant=variant,
        )
        self.classifier = create_head(self.num_features, num_classes, parameters)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if self.classifier.bias is not None:
            nn.init.zeros_(self.classifier.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return the pooled last activations: [N,C,H,W] in [0, 1] -> [N,64k]."""
        return self.trunk(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,64k] -> [N,K]."""
        return self.classifier(z)
