"""The only place that takes an input gradient."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust_core.errors import InputError

LossFunction = Callable[[Tensor], Tensor]  # logits [N,K] -> loss [N]


@dataclass(frozen=True)
class InputGradient:
    """Gradient of a per-sample loss with respect to the images, and what came along with it.

    gradient [N,C,H,W], loss [N] and logits [N,K], all detached float32; loss and logits belong to
    the point where the gradient was taken and are means over the EOT samples.
    """

    gradient: Tensor
    loss: Tensor
    logits: Tensor


def input_gradient(
    model: nn.Module, x: Tensor, loss_function: LossFunction, *, eot_samples: int = 1
) -> InputGradient:
    """Return the gradient of sum_i loss_i with respect to `x`, averaged over `eot_samples` passes.

    Losses are summed, not averaged, so an image's gradient does not depend on its batch. Parameter
    gradients are neither computed nor touched.

    Expectation over transformation (EOT): Athalye et al., "Synthesizing Robust Adversarial
    Examples", ICML 2018, arXiv:1707.07397, eq. 2. It matters for stochastic models only.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W]; not modified.
        loss_function: logits [N,K] -> loss [N].
        eot_samples: passes to average over, at least 1.

    Raises:
        InputError: the model does not return a tensor [N,K].
    """
    x = x.detach().requires_grad_(True)
    gradient, loss, logits = (torch.zeros((), device=x.device) for _ in range(3))
    with torch.enable_grad():
        for _ in range(eot_samples):
            sample_logits = check_logits(model(x), len(x))
            sample_loss = loss_function(sample_logits)
            (sample_gradient,) = torch.autograd.grad(sample_loss.sum(), x)
            gradient = gradient + sample_gradient / eot_samples
            loss = loss + sample_loss.detach() / eot_samples
            logits = logits + sample_logits.detach().float() / eot_samples
    return InputGradient(gradient, loss, logits)


@dataclass(frozen=True)
class ClassGradients:
    """How the logits of other classes compare with the label's, and how that changes with x.

    difference [N,M] is z_k - z_y for M classes, gradient [N,M,C,H,W] its gradient, logits [N,K].
    """

    difference: Tensor
    gradient: Tensor
    logits: Tensor


def class_difference_gradients(
    model: nn.Module, x: Tensor, y: Tensor, other: Tensor | None = None
) -> ClassGradients:
    """Return z_k - z_y and its input gradient, for one other class or for all of them.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W]; not modified.
        y: labels [N].
        other: one class for each image [N], M = 1; None: all K - 1 others in order, M = K - 1, by
            one forward pass and K - 1 backward passes.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = check_logits(model(x), len(x)).float()
        if other is None:
            every = torch.arange(logits.shape[1], device=x.device).expand(len(x), -1)
            classes = every[every != y[:, None]].view(len(x), -1)  # [N, K-1]
        else:
            classes = other[:, None]
        difference = logits.gather(1, classes) - logits.gather(1, y[:, None])
        gradient = torch.stack(
            [
                torch.autograd.grad(column.sum(), x, retain_graph=True)[0]
                for column in difference.unbind(dim=1)
            ],
            dim=1,
        )
    return ClassGradients(difference.detach(), gradient, logits.detach())


def check_logits(logits: object, num_images: int) -> Tensor:
    """Return `logits` if it is a tensor [num_images, K]; raise `InputError` otherwise."""
    if not isinstance(logits, Tensor):
        raise InputError(f"the model must return logits [N,K], got a {type(logits).__name__}")
    if logits.dim() != 2 or len(logits) != num_images:
        raise InputError(
            f"the model must return logits [{num_images},K], got shape {list(logits.shape)}"
        )
    return logits


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module of `model` in eval mode and restore each module's own mode afterwards.

    A model that is in eval mode already is not touched at all, so a model shared between threads
    is safe.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@torch.no_grad()
def predict_logits(model: nn.Module, x: Tensor, *, eot_samples: int = 1) -> Tensor:
    """Return the logits of `x`, averaged over `eot_samples` passes: [N,C,H,W] -> float32 [N,K]."""
    logits = torch.zeros((), device=x.device)
    for _ in range(eot_samples):
        logits = logits + check_logits(model(x), len(x)).float() / eot_samples
    return logits
