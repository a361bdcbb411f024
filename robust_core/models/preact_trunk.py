"""The body that pre-activation residual networks share."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from robust_core.models.fusion import copied_convolution

LARGEST_SHIFT = 16.0  # beyond it, the shifted stream would lose digits of what it carries


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution without bias that keeps the size (up to its stride)."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


class PreActBlock(nn.Module):
    """Basic residual block: shortcut + conv(relu(bn(conv(relu(bn(x)))))).

    Where shape changes, the shortcut is a 1x1 convolution of relu(bn(x)), otherwise it is x.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(out_channels, out_channels)
        self.shortcut = (
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,ceil(H/stride),ceil(W/stride)]."""
        active = self.relu1(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        residual = self.conv2(self.relu2(self.norm2(self.conv1(active))))
        return residual + shortcut


class PreActTrunk(nn.Module):
    """3x3 stem, groups of `PreActBlock`s, BN and ReLU, mean over all places: [N,C,H,W] -> [N,D].

    The stem and the first group keep the image's size; each further group halves it. The last group
    ends before an activation, so one more BN and ReLU stand in front of the mean.

    Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027,
    fig. 1b.
    """

    def __init__(
        self, in_channels: int, stem_width: int, group_widths: Sequence[int], blocks_per_group: int
    ):
        super().__init__()
        self.stem = conv3x3(in_channels, stem_width)
        blocks: list[nn.Module] = []
        channels = stem_width
        for group, width in enumerate(group_widths):
            for block in range(blocks_per_group):
                blocks.append(PreActBlock(channels, width, 2 if group > 0 and block == 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D], D the last group's width."""
        maps = self.relu(self.norm(self.blocks(self.stem(x))))  # [N, D, H', W']
        return self.pool(maps).flatten(1)


class FusedPreActTrunk(nn.Module):
    """A frozen `PreActTrunk` in eval mode, without batch norm: the same function.

    The second norm of a block goes into the convolution before it. The first stands behind a sum
    and in front of relu: relu(s h + t) = s relu(h + t / s) for s > 0. There s goes into the weights
    of the convolutions that follow, and the sum carries u = h + t / s instead of h, with the shift
    in the biases of the convolutions that are summed. Where some s is not positive, or a shift is
    so large that it would cost digits, or in low precision, the norm remains as s h + t.
    """

    def __init__(self, trunk: PreActTrunk, dtype: torch.dtype) -> None:
        super().__init__()
        shift_sums = dtype is torch.float32
        blocks = [block for block in trunk.blocks if isinstance(block, PreActBlock)]
        norms = [_Norm(norm, shift_sums) for norm in (*(b.norm1 for b in blocks), trunk.norm)]
        self.stem = copied_convolution(trunk.stem, bias=norms[0].moved_shift)
        self.blocks = nn.Sequential(
            *(_FusedBlock(*parts) for parts in zip(blocks, norms[:-1], norms[1:], strict=True))
        )
        self.norm = norms[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D]."""
        maps = F.relu_(self.norm(self.blocks(self.stem(x))))  # [N, D, H', W']
        return maps.mean(dim=(2, 3), dtype=torch.float32) * self.norm.moved_scale


class _Norm(nn.Module):
    """A frozen batch norm, s h + t, of which scale and shift may have been moved elsewhere."""

    moved_scale: Tensor
    moved_shift: Tensor
    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, norm: nn.BatchNorm2d, may_move: bool) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        ratio = shift / scale
        moved = may_move and bool(((scale > 0) & (ratio.abs() <= LARGEST_SHIFT)).all())
        self.register_buffer("moved_scale", scale if moved else torch.ones_like(scale))
        self.register_buffer("moved_shift", ratio if moved else torch.zeros_like(scale))
        self.register_buffer("scale", None if moved else scale.view(1, -1, 1, 1))
        self.register_buffer("shift", None if moved else shift.view(1, -1, 1, 1))

    def forward(self, u: Tensor) -> Tensor:
        """Return what stands in front of relu, up to the moved scale: [N,C,H,W]."""
        return (
            u
            if self.scale is None or self.shift is None
            else torch.addcmul(self.shift, u, self.scale)
        )


class _FusedBlock(nn.Module):
    """A `PreActBlock` between two sums that carry the moved shifts of the norms behind them."""

    def __init__(self, block: PreActBlock, norm: _Norm, next_norm: _Norm) -> None:
        super().__init__()
        fused = fuse_conv_bn_eval(block.conv1, block.norm2)
        self.norm = norm
        self.first = copied_convolution(fused, bias=fused.bias, input_scale=norm.moved_scale)
        shift = next_norm.moved_shift
        if block.shortcut is None:
            self.shortcut = None
            self.second = copied_convolution(block.conv2, bias=shift - norm.moved_shift)
        else:
            self.shortcut = copied_convolution(block.shortcut, input_scale=norm.moved_scale)
            self.second = copied_convolution(block.conv2, bias=shift)

    def forward(self, u: Tensor) -> Tensor:
        """Return the next sum: [N,A,H,W] -> [N,B,H',W']."""
        active = F.relu(self.norm(u))
        summand = u if self.shortcut is None else self.shortcut(active)
        return self.second(F.relu_(self.first(active))).add_(summand)
