"""PreActResNet-18, the usual small network of adversarial training."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from robust_core.models.base import MODELS, Classifier, Normalize
from robust_core.models.fusion import FusedForm
from robust_core.models.heads import CosineHead, HeadBias, HeadKind, HeadNormalisation, create_head
from robust_core.models.preact_trunk import FusedPreActTrunk, PreActBlock, PreActTrunk
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


@MODELS.register("preact_resnet18")
class PreActResNet18(Classifier):
    """PreActResNet-18 with the stem for small images: 3x3, stride 1, no max-pooling.

    Four groups of two blocks with w, 2w, 4w, 8w channels (w = `width`), then BN, ReLU, mean, linear
    head. 11,172,170 parameters at w = 64, C = 3, K = 10.

    Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027.
    The variant is that of the AWP code (Wu et al., NeurIPS 2020, arXiv:2004.05884), with the last
    BN and ReLU of the paper that some public CIFAR ports leave out, and PyTorch's default initial
    weights. Here the mean goes over any final size and inputs are mapped to [-1, 1].
    """

    Parameters = PreActResNet18Parameters
    fused_form = FusedForm(
        "trunk", (Normalize, PreActTrunk, PreActBlock, CosineHead), FusedPreActTrunk
    )

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        parameters: PreActResNet18Parameters,
    ):
        width = parameters.width
        super().__init__(image_shape, num_classes, num_features=8 * width)
        self.normalize = Normalize()
        self.trunk = PreActTrunk(
            image_shape[0], width, [width, 2 * width, 4 * width, 8 * width], blocks_per_group=2
        )
        self.classifier = create_head(self.num_features, num_classes, parameters)

    def features(self, x: Tensor) -> Tensor:
        """Return the pooled last activations: [N,C,H,W] in [0, 1] -> [N,8w]."""
        return self.trunk(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,8w] -> [N,K]."""
        return self.classifier(z)
