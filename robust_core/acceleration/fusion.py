"""Networks with batch norm folded away and the channels of every pixel side by side."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from robust_core.models.preact_trunk import PreActBlock, PreActTrunk
from robust_core.models.resnet import ResNetBlock, ResNetTrunk

LARGEST_SHIFT = 16.0  # beyond it, the shifted stream would lose digits of what it carries


class InPrecision(nn.Module):
    """`body` computed in another precision with channels last; float32 in and out."""

    def __init__(self, body: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.body = body.to(dtype=dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """Return body(x): [N,C,H,W] -> [N,D]."""
        x = x.to(dtype=self.dtype).contiguous(memory_format=torch.channels_last)
        return self.body(x).float()


class FoldedTrunk(nn.Module):
    """A frozen `PreActTrunk` in eval mode, without batch norm: the same function.

    The second norm of a block goes into the convolution before it. The first stands behind a sum
    and in front of relu: relu(s h + t) = s relu(h + t / s) for s > 0. There s goes into the weights
    of the convolutions that follow, and the sum carries u = h + t / s instead of h, with the shift
    in the biases of the convolutions that are summed. Where some s is not positive, or a shift is
    so large that it would cost digits, or `shift_sums` is false (in low precision), the norm
    remains as s h + t.
    """

    def __init__(self, trunk: PreActTrunk, *, shift_sums: bool) -> None:
        super().__init__()
        blocks = [block for block in trunk.blocks if isinstance(block, PreActBlock)]
        norms = [_Norm(norm, shift_sums) for norm in (*(b.norm1 for b in blocks), trunk.norm)]
        self.stem = _convolution(trunk.stem, bias=norms[0].moved_shift)
        self.blocks = nn.Sequential(
            *(_FoldedBlock(*parts) for parts in zip(blocks, norms[:-1], norms[1:], strict=True))
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


class _FoldedBlock(nn.Module):
    """A `PreActBlock` between two sums that carry the moved shifts of the norms behind them."""

    def __init__(self, block: PreActBlock, norm: _Norm, next_norm: _Norm) -> None:
        super().__init__()
        fused = fuse_conv_bn_eval(block.conv1, block.norm2)
        self.norm = norm
        self.first = _convolution(fused, bias=fused.bias, input_scale=norm.moved_scale)
        shift = next_norm.moved_shift
        if block.shortcut is None:
            self.shortcut = None
            self.second = _convolution(block.conv2, bias=shift - norm.moved_shift)
        else:
            self.shortcut = _convolution(block.shortcut, input_scale=norm.moved_scale)
            self.second = _convolution(block.conv2, bias=shift)

    def forward(self, u: Tensor) -> Tensor:
        """Return the next sum: [N,A,H,W] -> [N,B,H',W']."""
        active = F.relu(self.norm(u))
        summand = u if self.shortcut is None else self.shortcut(active)
        return self.second(F.relu_(self.first(active))).add_(summand)


class FoldedResNetTrunk(nn.Module):
    """A frozen `ResNetTrunk` in eval mode, each norm in the convolution before it."""

    def __init__(self, trunk: ResNetTrunk) -> None:
        super().__init__()
        blocks = [block for block in trunk.blocks if isinstance(block, ResNetBlock)]
        self.stem = _fused(trunk.stem, trunk.norm)
        self.blocks = nn.Sequential(*(_FoldedResNetBlock(block) for block in blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D]."""
        maps = self.blocks(F.relu_(self.stem(x)))  # [N, D, H', W']
        return maps.mean(dim=(2, 3), dtype=torch.float32)


class _FoldedResNetBlock(nn.Module):
    """A `ResNetBlock` of three convolutions at most."""

    def __init__(self, block: ResNetBlock) -> None:
        super().__init__()
        self.first = _fused(block.conv1, block.norm1)
        self.second = _fused(block.conv2, block.norm2)
        shortcut = block.shortcut
        self.shortcut = None if shortcut is None else _fused(shortcut.conv, shortcut.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,H',W']."""
        summand = x if self.shortcut is None else self.shortcut(x)
        return F.relu_(self.second(F.relu_(self.first(x))).add_(summand))


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return the convolution that both together are."""
    fused = fuse_conv_bn_eval(conv, norm)
    return _convolution(fused, bias=fused.bias)


def _convolution(
    source: nn.Conv2d, *, bias: Tensor | None = None, input_scale: Tensor | None = None
) -> nn.Conv2d:
    """Return the convolution of input_scale * input, plus `bias`; None changes nothing."""
    assert not isinstance(source.padding, str)
    convolution = nn.Conv2d(  # on no device: no memory, and no draw from torch's generator
        source.in_channels,
        source.out_channels,
        (source.kernel_size[0], source.kernel_size[1]),
        stride=(source.stride[0], source.stride[1]),
        padding=(source.padding[0], source.padding[1]),
        bias=bias is not None,
        device="meta",
    )
    weight = source.weight if input_scale is None else source.weight * input_scale.view(1, -1, 1, 1)
    convolution.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        convolution.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return convolution
