"""ResNets with activations behind the sums, the networks of many published defences."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.models.activations import (
    ACTIVATION_LAYERS,
    ACTIVATIONS,
    IN_PLACE,
    Activation,
)
from robust_core.models.base import MODELS, Classifier
from robust_core.models.fusion import FusedForm, fused_convolution
from robust_core.models.heads import (
    CosineHead,
    HeadBias,
    HeadKind,
    HeadNormalisation,
    create_head,
)
from robust_core.models.normalisation import (
    CENTRE,
    NORMALISATION_FIELDS,
    NORMALISATIONS,
    Mean,
    PerImage,
    Std,
    create_normalisation,
)
from robust_core.models.preact_trunk import conv3x3
from robust_core.parameters import Parameters

EXPANSION = 4  # of the channels in the last layer of a bottleneck block


class ResNetParameters(Parameters):
    """Parameters of `resnet18`, `resnet34` and `resnet50`."""

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


class Shortcut(nn.Module):
    """bn(conv1x1(x)), where a block changes the shape."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is summed with the residual: [N,A,H,W] -> [N,B,ceil(H/stride),...]."""
        return self.norm(self.conv(x))


class ResNetBlock(nn.Module):
    """Basic residual block: act(bn(conv(act(bn(conv(x))))) + shortcut)."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, activation: Activation = "relu"
    ):
        super().__init__()
        create = ACTIVATIONS[activation]
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.relu1 = create()
        self.conv2 = conv3x3(out_channels, out_channels)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.relu2 = create()
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,ceil(H/stride),ceil(W/stride)]."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        residual = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(residual + shortcut)

    def layers(self) -> tuple[tuple[nn.Conv2d, nn.BatchNorm2d], ...]:
        """Return the convolutions of the residual with the norms behind them."""
        return (self.conv1, self.norm1), (self.conv2, self.norm2)


class BottleneckBlock(nn.Module):
    """Residual block of a 1x1, a 3x3 and a 1x1 convolution: A -> B/4 -> B/4 -> B channels.

    The 3x3 convolution has the stride, as in public ports; in the paper the first one has it.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, activation: Activation):
        super().__init__()
        create, inner = ACTIVATIONS[activation], out_channels // EXPANSION
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.relu1 = create()
        self.conv2 = conv3x3(inner, inner, stride)
        self.norm2 = nn.BatchNorm2d(inner)
        self.relu2 = create()
        self.conv3 = nn.Conv2d(inner, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.relu3 = create()
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,ceil(H/stride),ceil(W/stride)]."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        inner = self.relu1(self.norm1(self.conv1(x)))
        inner = self.relu2(self.norm2(self.conv2(inner)))
        return self.relu3(self.norm3(self.conv3(inner)) + shortcut)

    def layers(self) -> tuple[tuple[nn.Conv2d, nn.BatchNorm2d], ...]:
        """Return the convolutions of the residual with the norms behind them."""
        return (self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> Shortcut | None:
    changes = stride != 1 or in_channels != out_channels
    return Shortcut(in_channels, out_channels, stride) if changes else None


class ResNetTrunk(nn.Module):
    """3x3 stem, BN and activation, four groups of blocks, mean over all places.

    The stem and the first group keep the image's size; each further group halves it.

    Args:
        in_channels: C.
        width: w, channels of the stem; groups have w, 2w, 4w, 8w, with bottlenecks four times that.
        group_sizes: blocks of each group.
        bottleneck: take `BottleneckBlock`s.
        activation: between the layers.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        group_sizes: Sequence[int] = (2, 2, 2, 2),
        bottleneck: bool = False,
        activation: Activation = "relu",
    ):
        super().__init__()
        self.activation: Activation = activation
        self.stem = conv3x3(in_channels, width)
        self.norm = nn.BatchNorm2d(width)
        self.relu = ACTIVATIONS[activation]()
        kind, factor = (BottleneckBlock, EXPANSION) if bottleneck else (ResNetBlock, 1)
        channels, blocks = width, []
        for group, size in enumerate(group_sizes):
            out_channels = factor * width * 2**group
            for block in range(size):
                stride = 2 if group > 0 and block == 0 else 1
                blocks.append(kind(channels, out_channels, stride, activation))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D], D the last group's channels."""
        maps = self.blocks(self.relu(self.norm(self.stem(x))))  # [N, D, H', W']
        return self.pool(maps).flatten(1)


class FusedResNetTrunk(nn.Module):
    """A frozen `ResNetTrunk` in eval mode, each norm in the convolution before it."""

    def __init__(self, trunk: ResNetTrunk, dtype: torch.dtype) -> None:
        super().__init__()
        blocks = [b for b in trunk.blocks if isinstance(b, ResNetBlock | BottleneckBlock)]
        self.stem = fused_convolution(trunk.stem, trunk.norm)
        self.activate = IN_PLACE[trunk.activation]
        self.blocks = nn.Sequential(*(_FusedBlock(block, trunk.activation) for block in blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D]."""
        maps = self.blocks(self.activate(self.stem(x)))  # [N, D, H', W']
        return maps.mean(dim=(2, 3), dtype=torch.float32)


class _FusedBlock(nn.Module):
    """A block without its norms."""

    def __init__(self, block: ResNetBlock | BottleneckBlock, activation: Activation) -> None:
        super().__init__()
        self.activate = IN_PLACE[activation]
        *first, self.last = (fused_convolution(*layer) for layer in block.layers())
        self.first = nn.ModuleList(first)
        shortcut = block.shortcut
        self.shortcut = (
            None if shortcut is None else fused_convolution(shortcut.conv, shortcut.norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,H',W']."""
        summand, inner = x if self.shortcut is None else self.shortcut(x), x
        for layer in self.first:
            inner = self.activate(layer(inner))
        return self.activate(self.last(inner).add_(summand))


RESNET_FORM = FusedForm(
    "trunk",
    (
        *NORMALISATIONS,
        *ACTIVATION_LAYERS,
        *(ResNetTrunk, ResNetBlock, BottleneckBlock, Shortcut, CosineHead),
    ),
    FusedResNetTrunk,
)


@MODELS.register("resnet18")
class ResNet18(Classifier):
    """ResNet-18 with the stem for small images: 3x3, stride 1, no max-pooling.

    Four groups of two blocks with w, 2w, 4w, 8w channels (w = `width`), mean, linear head.
    11,173,962 parameters at w = 64, C = 3, K = 10.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385;
    the variant for CIFAR of the code of PAG (Ganz et al., ICML 2023, arXiv:2207.11378) and of the
    first release of SPAT. Here the mean goes over any final size and inputs are mapped to [-1, 1],
    if no other `mean` and `std` are given.
    """

    Parameters = ResNetParameters
    fused_form = RESNET_FORM
    advanced = (*NORMALISATION_FIELDS, "activation")
    group_sizes: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)
    bottleneck: ClassVar[bool] = False

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: ResNetParameters
    ):
        width = parameters.width
        features = 8 * width * (EXPANSION if self.bottleneck else 1)
        super().__init__(image_shape, num_classes, num_features=features)
        self.normalize = create_normalisation(parameters, image_shape[0])
        self.trunk = ResNetTrunk(
            image_shape[0], width, self.group_sizes, self.bottleneck, parameters.activation
        )
        self.classifier = create_head(self.num_features, num_classes, parameters)

    def features(self, x: Tensor) -> Tensor:
        """Return the pooled last activations: [N,C,H,W] in [0, 1] -> [N,D]."""
        return self.trunk(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,D] -> [N,K]."""
        return self.classifier(z)


@MODELS.register("resnet34")
class ResNet34(ResNet18):
    """ResNet-34: `resnet18` with three, four, six and three blocks in its groups."""

    fused_form = RESNET_FORM
    group_sizes = (3, 4, 6, 3)


@MODELS.register("resnet50")
class ResNet50(ResNet18):
    """ResNet-50: the blocks of `resnet34` are bottlenecks, with 4w to 32w channels.

    23,520,842 parameters at w = 64, C = 3, K = 10.
    """

    fused_form = RESNET_FORM
    group_sizes = (3, 4, 6, 3)
    bottleneck = True
