"""How attacks compute: precision and compilation, and the context that sets them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Precision = Literal["reference", "float32", "bfloat16", "fastest"]
Compilation = Literal["no", "now", "background"]


@dataclass(frozen=True)
class Acceleration:
    """How attacks compute the outputs and gradients of models that can be optimised.

    Every precision is deterministic: a seed gives the same images again, by "fastest" wherever the
    same copies were found to be the fastest.

    Attributes:
        precision: "reference": the model unchanged. "float32": an optimised copy in float32 with
            batch-norm fusion and channels last; logits agree to rounding (1e-4). "bfloat16":
            gradients come from such a copy in bfloat16; every success is confirmed by a float32
            forward pass, and an image that fools only the bfloat16 copy is attacked again in
            float32. "fastest": whichever of the three takes an input gradient of this network the
            soonest on this machine, for few images and for many (see `calibration`), compiled
            where matrix units make that pay.
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
