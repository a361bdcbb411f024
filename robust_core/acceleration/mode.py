"""How attacks compute: precision and compilation, and the context that sets them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch

from robust_core.distributed import ProcessGroup

Precision = Literal["reference", "float32", "bfloat16"]
Compilation = Literal["no", "now", "background"]


@dataclass(frozen=True)
class Acceleration:
    """How attacks compute the outputs and gradients of models that can be optimised.

    All three precisions are deterministic: a seed gives the same images again.

    Attributes:
        precision: "reference": the model unchanged. "float32": an optimised copy in float32 with
            batch-norm fusion and channels last; logits agree to rounding (1e-4). "bfloat16":
            gradients come from such a copy in bfloat16; every success is confirmed by a float32
            forward pass, and an image that fools only the bfloat16 copy is attacked again in
            float32.
        compiled: "no": eager. "now": the copy is compiled at its first use, which takes seconds to
            minutes. "background": a thread compiles it; until then it runs eagerly. Without a
            working compiler it stays eager.
    """

    precision: Precision = "float32"
    compiled: Compilation = "no"


_CURRENT: ContextVar[Acceleration] = ContextVar("robust_core.acceleration")


def current_acceleration() -> Acceleration:
    """Return the acceleration of the innermost `use_acceleration` of this thread, or a default."""
    return _CURRENT.get(Acceleration())


@contextmanager
def use_acceleration(acceleration: Acceleration) -> Iterator[None]:
    """Use `acceleration` for all attacks in this context and thread."""
    token = _CURRENT.set(acceleration)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def fastest_acceleration(device: torch.device | None = None) -> Acceleration:
    """Return the fastest acceleration for long work: compiled bfloat16 given matrix units for it.

    With `device` None, of the device of this process.

    On the CPU these are AMX tiles; without them bfloat16 is emulated and slower than float32, and a
    compiled float32 step gains too little over the eager one to be worth its minutes.
    """
    device = device or ProcessGroup().device
    if device.type == "cuda":
        matrix_units = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        matrix_units = device.type == "cpu" and _has_amx()
    return Acceleration("bfloat16", compiled="now") if matrix_units else Acceleration()


def _has_amx() -> bool:
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)  # not public, may go
    return bool(probe and probe())
