"""EfficientNet-Lite0, a small network for photographs, of inverted residual blocks."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.models.base import MODELS, Classifier
from robust_core.models.fusion import FusedForm, fused_convolution
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

STEM_CHANNELS, NUM_FEATURES = 32, 1280
NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.01  # of the TensorFlow code: 1e-3 and a decay of 0.99


class Stage(NamedTuple):
    """Blocks of one shape: `expansion` times as many channels inside; the first one has stride."""

    num_blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (  # table 1 of the paper, with stem, first and last stage not scaled, as the Lite models
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class EfficientNetLite0Parameters(Parameters):
    """Parameters of `efficientnet_lite0`."""

    mean: Mean = CENTRE
    std: Std = CENTRE
    per_image: PerImage = False


class SamePadding(nn.Module):
    """TensorFlow's padding before a convolution of stride 2: the odd row and column come last.

    k - 2 + (side mod 2) zeros, the smaller half of them before. PyTorch pads both sides alike,
    which with stride 2 reads other pixels.
    """

    def __init__(self, kernel: int):
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """Return the padded maps: [N,C,H,W] -> [N,C,H',W']."""
        height, width = (self.kernel - 2 + side % 2 for side in (x.shape[2], x.shape[3]))
        return F.pad(
            x, (width // 2, width - width // 2, height // 2, height - height // 2)
        )  # left, right, top, bottom


class ConvNorm(nn.Module):
    """bn(conv(x)), padded as TensorFlow does; then ReLU6 unless `linear`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        depthwise: bool = False,
        linear: bool = False,
    ):
        super().__init__()
        self.pad = SamePadding(kernel) if stride == 2 else None
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=0 if stride == 2 else kernel // 2,
            groups=in_channels if depthwise else 1,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out_channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)
        self.relu = None if linear else nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps: [N,A,H,W] -> [N,B,ceil(H/stride),ceil(W/stride)]."""
        x = x if self.pad is None else self.pad(x)
        x = self.norm(self.conv(x))
        return x if self.relu is None else self.relu(x)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise k x k, project 1x1 without activation; plus x where the shape stays."""

    def __init__(self, in_channels: int, stage: Stage, stride: int):
        super().__init__()
        inside = in_channels * stage.expansion
        self.expand = ConvNorm(in_channels, inside) if stage.expansion > 1 else None
        self.depthwise = ConvNorm(inside, inside, stage.kernel, stride, depthwise=True)
        self.project = ConvNorm(inside, stage.channels, linear=True)
        self.adds = stride == 1 and in_channels == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,ceil(H/stride),ceil(W/stride)]."""
        maps = x if self.expand is None else self.expand(x)
        maps = self.project(self.depthwise(maps))
        return maps + x if self.adds else maps


class EfficientNetTrunk(nn.Module):
    """Stem of stride 2, 16 blocks, 1x1 to 1280 channels, mean over all places."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.stem = ConvNorm(in_channels, STEM_CHANNELS, 3, 2)
        channels, blocks = STEM_CHANNELS, []
        for stage in STAGES:
            for block in range(stage.num_blocks):
                blocks.append(InvertedResidual(channels, stage, 1 if block else stage.stride))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvNorm(channels, NUM_FEATURES)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,1280]."""
        maps = self.last(self.blocks(self.stem(x)))  # [N, 1280, H/32, W/32]
        return self.pool(maps).flatten(1)


class FusedEfficientNetTrunk(nn.Module):
    """A frozen `EfficientNetTrunk` in eval mode, each norm in the convolution before it."""

    def __init__(self, trunk: EfficientNetTrunk, dtype: torch.dtype) -> None:
        super().__init__()
        blocks = [block for block in trunk.blocks if isinstance(block, InvertedResidual)]
        self.stem = _FusedConv(trunk.stem)
        self.blocks = nn.Sequential(*(_FusedBlock(block) for block in blocks))
        self.last = _FusedConv(trunk.last)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,1280]."""
        maps = self.last(self.blocks(self.stem(x)))
        return maps.mean(dim=(2, 3), dtype=torch.float32)


class _FusedConv(nn.Module):
    """A `ConvNorm` of one convolution."""

    def __init__(self, part: ConvNorm) -> None:
        super().__init__()
        self.pad, self.linear = part.pad, part.relu is None
        self.conv = fused_convolution(part.conv, part.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps: [N,A,H,W] -> [N,B,H',W']."""
        x = self.conv(x if self.pad is None else self.pad(x))
        return x if self.linear else F.relu6(x, inplace=True)


class _FusedBlock(nn.Module):
    """An `InvertedResidual` of three convolutions at most."""

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        self.expand = None if block.expand is None else _FusedConv(block.expand)
        self.depthwise, self.project = _FusedConv(block.depthwise), _FusedConv(block.project)
        self.adds = block.adds

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,H',W']."""
        maps = self.project(self.depthwise(x if self.expand is None else self.expand(x)))
        return maps.add_(x) if self.adds else maps


@MODELS.register("efficientnet_lite0")
class EfficientNetLite0(Classifier):
    """EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6 for swish.

    Made for photographs of 224x224 pixels; other sizes work, 32 times smaller at the end.
    4,652,008 parameters at C = 3, K = 1000. Pixels are mapped to (x - mean) / std.

    Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    ICML 2019, arXiv:1905.11946; the Lite variant of tensorflow/tpu, with its padding ("SAME").
    Differences: no dropout before the head and no dropped blocks while training.
    """

    Parameters = EfficientNetLite0Parameters
    fused_form = FusedForm(
        "trunk",
        (
            *NORMALISATIONS,
            *(EfficientNetTrunk, InvertedResidual, ConvNorm, SamePadding, nn.ReLU6),
        ),
        FusedEfficientNetTrunk,
    )
    advanced = NORMALISATION_FIELDS

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        parameters: EfficientNetLite0Parameters,
    ):
        super().__init__(image_shape, num_classes, num_features=NUM_FEATURES)
        self.normalize = create_normalisation(parameters, image_shape[0])
        self.trunk = EfficientNetTrunk(image_shape[0])
        self.classifier = nn.Linear(NUM_FEATURES, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the pooled last activations, in [0, 6]: [N,C,H,W] in [0, 1] -> [N,1280]."""
        return self.trunk(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,1280] -> [N,K]."""
        return self.classifier(z)
