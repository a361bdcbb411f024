"""How attacks compute: exactness and compilation, and the context that says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["reference", "float32", "bfloat16"]
Compilation = Literal["no", "now", "background"]


@dataclass(frozen=True)
class Engine:
    """How attacks compute the outputs and gradients of models that can be prepared.

    All three precisions are deterministic: a seed gives the same images again.

    Attributes:
        precision: "reference": the model exactly as it is. "float32": a twin in float32 with batch
            norm folded into convolutions and channels last; logits agree to rounding (1e-4).
            "bfloat16": gradients come from such a twin in bfloat16; every verdict is confirmed by a
            float32 forward pass, and an image of which only the twin said that it has fallen is
            attacked in float32.
        compiled: "no": eager. "now": the twin is compiled at its first use, which takes seconds to
            minutes. "background": a thread compiles it, and it is eager until that is done. Where
            no compiler works, it stays eager.
    """

    precision: Precision = "float32"
    compiled: Compilation = "no"


_ENGINE: ContextVar[Engine] = ContextVar("robust_core.acceleration")


def current_engine() -> Engine:
    """Return the engine of the innermost `use_engine` of this thread; without one, the default."""
    return _ENGINE.get(Engine())


@contextmanager
def use_engine(engine: Engine) -> Iterator[None]:
    """Let everything in this context, in this thread, compute as `engine` says."""
    token = _ENGINE.set(engine)
    try:
        yield
    finally:
        _ENGINE.reset(token)


def fastest_engine(device: torch.device) -> Engine:
    """Return what is fastest for much work: compiled bfloat16 where there are matrix units for it.

    On the CPU these are AMX tiles; without them bfloat16 is emulated and slower than float32, and a
    compiled float32 step gains too little over the eager one to be worth its minutes.
    """
    if device.type == "cuda":
        matrix_units = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        matrix_units = device.type == "cpu" and _has_amx()
    return Engine("bfloat16", compiled="now") if matrix_units else Engine()


def _has_amx() -> bool:
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)  # not public, may go
    return bool(probe and probe())
