"""Batch-norm fusion: how a network says that it is made fast, and what its fused parts share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def unfused(body: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return `body` itself: there is no norm to be fused."""
    return body


@dataclass(frozen=True)
class FusedForm:
    """How an optimised copy of a frozen network is made.

    It stands for exactly the class that declares it and the parts that it names: a subclass may
    compute anything else.

    Attributes:
        body: name of the submodule that holds the convolutions.
        parts: classes of the network's submodules besides torch's own layers.
        fuse: makes the body without batch norm, the same function, of the body and the precision
            that it will compute in.
    """

    body: str
    parts: tuple[type[nn.Module], ...]
    fuse: Callable[[Any, torch.dtype], nn.Module] = unfused


def fused_convolution(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return the convolution that both together are."""
    fused = fuse_conv_bn_eval(conv, norm)
    return copied_convolution(fused, bias=fused.bias)


def copied_convolution(
    source: nn.Conv2d, *, bias: Tensor | None = None, input_scale: Tensor | None = None
) -> nn.Conv2d:
    """Return the convolution of input_scale * input, plus `bias`; None changes nothing."""
    assert not isinstance(source.padding, str)
    convolution = type(source)(  # on no device: no memory, and no draw from torch's generator
        source.in_channels,
        source.out_channels,
        (source.kernel_size[0], source.kernel_size[1]),
        stride=(source.stride[0], source.stride[1]),
        padding=(source.padding[0], source.padding[1]),
        groups=source.groups,
        bias=bias is not None,
        device="meta",
    )
    weight = source.weight if input_scale is None else source.weight * input_scale.view(1, -1, 1, 1)
    convolution.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        convolution.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return convolution
