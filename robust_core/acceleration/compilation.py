"""The compiled step: forward pass, loss and input gradient as one function."""

import logging
import threading
from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

logger = logging.getLogger("robust_core.acceleration")

MOST_VARIANTS = 64  # of all networks and losses together; torch's own limit is 8
LossFunction = Callable[[Tensor], Tensor]
Found = tuple[Tensor, Tensor, Tensor]  # gradient [N,C,H,W], loss [N], logits [N,K]


class CompiledStep:
    """The input gradient of a network, compiled with the loss once for every kind of loss.

    A loss function can be compiled if it has a `kind`: functions of the same kind differ in their
    tensors only. Every kind is compiled for one image and for any other number of images.

    Args:
        network: frozen, in eval mode.
        in_background: compile in a thread and return None until that is done.
        backend: of `torch.compile`.
    """

    def __init__(
        self, network: nn.Module, *, in_background: bool, backend: str | Callable = "inductor"
    ) -> None:
        self._in_background = in_background
        self._state: dict[Hashable, bool] = {}  # False: begun and not ready, or failed
        self._lock = threading.Lock()

        def gradient(x: Tensor, loss_function: LossFunction) -> Found:
            def total(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
                logits = network(x)
                loss = loss_function(logits)
                return loss.sum(), (loss, logits)

            slope, (loss, logits) = torch.func.grad(total, has_aux=True)(x)
            return slope, loss, logits.float()

        self._gradient = torch.compile(gradient, fullgraph=True, dynamic=True, backend=backend)

    def __call__(self, x: Tensor, loss_function: LossFunction) -> Found | None:
        """Return gradient, loss and logits at `x`, or None where that is not compiled (yet)."""
        kind = getattr(loss_function, "kind", None)
        if kind is None or len(x) == 0:
            return None
        variant = (kind, len(x) == 1, x.shape[1:])
        with self._lock:
            begin = variant not in self._state
            if begin:
                self._state[variant] = False
        if begin and self._in_background:
            arguments = (variant, x.detach().clone(), loss_function)
            threading.Thread(target=self._compile, args=arguments, daemon=True).start()
        elif begin:
            self._compile(variant, x, loss_function)
        return self._run(x, loss_function) if self._state[variant] else None

    def _run(self, x: Tensor, loss_function: LossFunction) -> Found:
        with torch.no_grad():  # torch.func.grad takes the one gradient that is wanted
            return self._gradient(x.detach(), loss_function)

    def _compile(self, variant: Hashable, x: Tensor, loss_function: LossFunction) -> None:
        limits = torch._dynamo.config
        limits.recompile_limit = max(limits.recompile_limit, MOST_VARIANTS)
        try:
            self._run(x, loss_function)
        except Exception as error:  # compilers fail in many ways, none is fatal
            line = next(iter(str(error).splitlines()), type(error).__name__)
            logger.warning("no compiled step, going on without: %s", line)
            return
        self._state[variant] = True
