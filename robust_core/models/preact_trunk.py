"""The body that pre-activation residual networks share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.activations import ACTIVATIONS, Activation

Padding = Annotated[
    Literal["symmetric", "same"],
    Field(
        description="Zeros around the input of a 3x3 convolution of stride 2: one on each side "
        "(symmetric), or one on the right and at the bottom (same, as TensorFlow and JAX do it)."
    ),
]
ShortcutInput = Annotated[
    Literal["activated", "raw"],
    Field(
        description="What the convolution of a shortcut takes: the block's input after its first "
        "normalisation and activation (as in the paper), or as it is."
    ),
]


@dataclass(frozen=True)
class TrunkVariant:
    """What distinguishes published pre-activation networks with the same shapes of most weights.

    The defaults are those of the paper and of the networks that are trained here.

    Attributes:
        activation: between the layers.
        padding: of the 3x3 convolutions of stride 2.
        shortcut_input: what a shortcut's convolution takes.
        shortcut_kernel: its size; 3 pads as the other convolutions do.
        last_norm: whether BN and an activation stand in front of the mean.
    """

    activation: Activation = "relu"
    padding: Padding = "symmetric"
    shortcut_input: ShortcutInput = "activated"
    shortcut_kernel: Literal[1, 3] = 1
    last_norm: bool = True


STANDARD = TrunkVariant()


class CornerPaddedConv2d(nn.Conv2d):
    """A convolution after one row of zeros at the bottom and one column on the right.

    Source: JAX's and TensorFlow's "SAME" at stride 2 and even size, as in the networks of Gowal et
    al., arXiv:2010.03593, whose PyTorch code pads like this at any size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of the padded input: [N,A,H,W] -> [N,B,H//2,W//2]."""
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def conv3x3(
    in_channels: int, out_channels: int, stride: int = 1, padding: Padding = "symmetric"
) -> nn.Conv2d:
    """Return a 3x3 convolution without bias that keeps the size (up to its stride)."""
    if padding == "same" and stride != 1:
        return CornerPaddedConv2d(in_channels, out_channels, 3, stride=stride, bias=False)
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


class PreActBlock(nn.Module):
    """Basic residual block: shortcut + conv(act(bn(conv(act(bn(x)))))).

    Where shape changes, the shortcut is a convolution of act(bn(x)), or of x if the variant says
    so; otherwise it is x.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        variant: TrunkVariant = STANDARD,
    ):
        super().__init__()
        activation = ACTIVATIONS[variant.activation]
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = activation()
        self.conv1 = conv3x3(in_channels, out_channels, stride, variant.padding)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.relu2 = activation()
        self.conv2 = conv3x3(out_channels, out_channels)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = (
                conv3x3(in_channels, out_channels, stride, variant.padding)
                if variant.shortcut_kernel == 3
                else nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            )
        self.takes_raw = variant.shortcut_input == "raw"

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,ceil(H/stride),ceil(W/stride)]."""
        active = self.relu1(self.norm1(x))
        residual = self.conv2(self.relu2(self.norm2(self.conv1(active))))
        shortcut = x if self.shortcut is None else self.shortcut(x if self.takes_raw else active)
        return residual + shortcut


class PreActTrunk(nn.Module):
    """3x3 stem, groups of `PreActBlock`s, BN and ReLU, mean over all places: [N,C,H,W] -> [N,D].

    The stem and the first group keep the image's size; each further group halves it. The last group
    ends before an activation, so one more BN and ReLU stand in front of the mean.

    Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027,
    fig. 1b.
    """

    def __init__(
        self,
        in_channels: int,
        stem_width: int,
        group_widths: Sequence[int],
        blocks_per_group: int,
        variant: TrunkVariant = STANDARD,
    ):
        super().__init__()
        self.variant = variant
        self.stem = conv3x3(in_channels, stem_width)
        blocks: list[nn.Module] = []
        channels = stem_width
        for group, width in enumerate(group_widths):
            for block in range(blocks_per_group):
                stride = 2 if group > 0 and block == 0 else 1
                blocks.append(PreActBlock(channels, width, stride, variant))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels) if variant.last_norm else None
        self.relu = ACTIVATIONS[variant.activation]() if variant.last_norm else None
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D], D the last group's width."""
        maps = self.blocks(self.stem(x))  # [N, D, H', W']
        if self.norm is not None and self.relu is not None:
            maps = self.relu(self.norm(maps))
        return self.pool(maps).flatten(1)


def check_sides(image_shape: tuple[int, int, int], variant: TrunkVariant, halvings: int) -> None:
    """Check that shortcuts and residuals of a network that halves its maps have the same size.

    Raises:
        InputError: with padding "same", a 1x1 shortcut rounds the half of an odd side up and the
            3x3 convolution rounds it down.
    """
    factor = 2**halvings
    rounds_both_ways = variant.padding == "same" and variant.shortcut_kernel == 1
    if rounds_both_ways and any(side % factor for side in image_shape[1:]):
        raise InputError(
            f'with padding "same" height and width must be multiples of {factor}, '
            f"got {image_shape[1]}x{image_shape[2]}"
        )
