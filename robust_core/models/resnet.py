"""ResNet-18 with activations behind the sums, the network of many published defences."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.models.base import MODELS, Classifier, Normalize
from robust_core.models.fusion import FusedForm, fused_convolution
from robust_core.models.heads import CosineHead, create_head
from robust_core.models.preact_resnet import PreActResNet18Parameters
from robust_core.models.preact_trunk import conv3x3


class ResNet18Parameters(PreActResNet18Parameters):
    """Parameters of `resnet18`, those of the pre-activation ResNet."""


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
    """Basic residual block: relu(bn(conv(relu(bn(conv(x))))) + shortcut)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = conv3x3(out_channels, out_channels)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.shortcut = (
            Shortcut(in_channels, out_channels, stride)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,ceil(H/stride),ceil(W/stride)]."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        residual = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(residual + shortcut)


class ResNetTrunk(nn.Module):
    """3x3 stem, BN and ReLU, four groups of two blocks, mean over all places: [N,C,H,W] -> [N,8w].

    The stem and the first group keep the image's size; each further group halves it.
    """

    def __init__(self, in_channels: int, width: int):
        super().__init__()
        self.stem = conv3x3(in_channels, width)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        channels, blocks = width, []
        for group in range(4):
            for block in range(2):
                stride = 2 if group > 0 and block == 0 else 1
                blocks.append(ResNetBlock(channels, width * 2**group, stride))
                channels = width * 2**group
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,8w]."""
        maps = self.blocks(self.relu(self.norm(self.stem(x))))  # [N, 8w, H', W']
        return self.pool(maps).flatten(1)


class FusedResNetTrunk(nn.Module):
    """A frozen `ResNetTrunk` in eval mode, each norm in the convolution before it."""

    def __init__(self, trunk: ResNetTrunk, dtype: torch.dtype) -> None:
        super().__init__()
        blocks = [block for block in trunk.blocks if isinstance(block, ResNetBlock)]
        self.stem = fused_convolution(trunk.stem, trunk.norm)
        self.blocks = nn.Sequential(*(_FusedBlock(block) for block in blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D]."""
        maps = self.blocks(F.relu_(self.stem(x)))  # [N, D, H', W']
        return maps.mean(dim=(2, 3), dtype=torch.float32)


class _FusedBlock(nn.Module):
    """A `ResNetBlock` of three convolutions at most."""

    def __init__(self, block: ResNetBlock) -> None:
        super().__init__()
        self.first = fused_convolution(block.conv1, block.norm1)
        self.second = fused_convolution(block.conv2, block.norm2)
        shortcut = block.shortcut
        self.shortcut = (
            None if shortcut is None else fused_convolution(shortcut.conv, shortcut.norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,H',W']."""
        summand = x if self.shortcut is None else self.shortcut(x)
        return F.relu_(self.second(F.relu_(self.first(x))).add_(summand))


@MODELS.register("resnet18")
class ResNet18(Classifier):
    """ResNet-18 with the stem for small images: 3x3, stride 1, no max-pooling.

    Four groups of two blocks with w, 2w, 4w, 8w channels (w = `width`), mean, linear head.
    11,173,962 parameters at w = 64, C = 3, K = 10.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385;
    the variant for CIFAR of the code of PAG (Ganz et al., ICML 2023, arXiv:2207.11378) and of the
    first release of SPAT. Here the mean goes over any final size and inputs are mapped to [-1, 1].
    """

    Parameters = ResNet18Parameters
    fused_form = FusedForm(
        "trunk",
        (Normalize, ResNetTrunk, ResNetBlock, Shortcut, CosineHead),
        FusedResNetTrunk,
    )

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: ResNet18Parameters
    ):
        super().__init__(image_shape, num_classes, num_features=8 * parameters.width)
        self.normalize = Normalize()
        self.trunk = ResNetTrunk(image_shape[0], parameters.width)
        self.classifier = create_head(self.num_features, num_classes, parameters)

    def features(self, x: Tensor) -> Tensor:
        """Return the pooled last activations, none negative: [N,C,H,W] in [0, 1] -> [N,8w]."""
        return self.trunk(self.normalize(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,8w] -> [N,K]."""
        return self.classifier(z)
