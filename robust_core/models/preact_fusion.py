"""`PreActTrunk` without batch norm, for optimised copies of frozen networks."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from robust_core.models.activations import (
    ACTIVATION_LAYERS,
    FUNCTIONS,
    IN_PLACE,
    Activation,
)
from robust_core.models.fusion import FusedForm, copied_convolution
from robust_core.models.heads import CosineHead
from robust_core.models.normalisation import NORMALISATIONS
from robust_core.models.preact_trunk import CornerPaddedConv2d, PreActBlock, PreActTrunk

LARGEST_SHIFT = 16.0  # beyond it, the shifted stream would lose digits of what it carries


class FusedPreActTrunk(nn.Module):
    """A frozen `PreActTrunk` in eval mode, without batch norm: the same function.

    The second norm of a block goes into the convolution before it. The first stands behind a sum
    and in front of relu: relu(s h + t) = s relu(h + t / s) for s > 0. There s goes into the weights
    of the convolutions that follow, and the sum carries u = h + t / s instead of h, with the shift
    in the biases of the convolutions that are summed. Where some s is not positive, or a shift is
    so large that it would cost digits, or in low precision, the norm remains as s h + t; so it does
    with other activations, and in blocks whose shortcut takes h itself.
    """

    def __init__(self, trunk: PreActTrunk, dtype: torch.dtype) -> None:
        super().__init__()
        activation = trunk.variant.activation
        shift_sums = dtype is torch.float32 and activation == "relu"
        blocks = [block for block in trunk.blocks if isinstance(block, PreActBlock)]
        norms = [
            _fused(block.norm1, shift_sums and (block.shortcut is None or not block.takes_raw))
            for block in blocks
        ]
        nothing = torch.ones(blocks[-1].conv2.out_channels)
        norms.append(
            _Norm(nothing, 0 * nothing, may_move=True)
            if trunk.norm is None
            else _fused(trunk.norm, shift_sums)
        )
        self.stem = copied_convolution(trunk.stem, bias=norms[0].moved_shift)
        self.blocks = nn.Sequential(
            *(
                _FusedBlock(*parts, activation)
                for parts in zip(blocks, norms[:-1], norms[1:], strict=True)
            )
        )
        self.norm = norms[-1]
        self.activate = None if trunk.norm is None else IN_PLACE[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D]."""
        maps = self.norm(self.blocks(self.stem(x)))  # [N, D, H', W']
        if self.activate is not None:
            maps = self.activate(maps)
        return maps.mean(dim=(2, 3), dtype=torch.float32) * self.norm.moved_scale


class _Norm(nn.Module):
    """A frozen batch norm, s h + t, of which scale and shift may have been moved elsewhere.

    Args:
        scale: s, [C]. shift: t, [C].
        may_move: move them, unless that would cost digits or a sign.
    """

    moved_scale: Tensor
    moved_shift: Tensor
    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, scale: Tensor, shift: Tensor, may_move: bool) -> None:
        super().__init__()
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


def _fused(norm: nn.BatchNorm2d, may_move: bool) -> _Norm:
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return _Norm(scale, norm.bias - norm.running_mean * scale, may_move)


class _FusedBlock(nn.Module):
    """A `PreActBlock` between two sums that carry the moved shifts of the norms behind them."""

    def __init__(
        self, block: PreActBlock, norm: _Norm, next_norm: _Norm, activation: Activation
    ) -> None:
        super().__init__()
        self.activate, self.activate_in_place = FUNCTIONS[activation], IN_PLACE[activation]
        self.takes_raw = block.takes_raw
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
        active = self.activate(self.norm(u))
        summand = u if self.shortcut is None else self.shortcut(u if self.takes_raw else active)
        return self.second(self.activate_in_place(self.first(active))).add_(summand)


PREACT_FORM = FusedForm(
    "trunk",
    (
        *NORMALISATIONS,
        *ACTIVATION_LAYERS,
        *(CornerPaddedConv2d, PreActTrunk, PreActBlock, CosineHead),
    ),
    FusedPreActTrunk,
)
