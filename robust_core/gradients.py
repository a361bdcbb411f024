"""The only place that takes an input gradient."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn

from robust_core.acceleration.optimised import exact_model, is_optimised, search_model
from robust_core.errors import InputError

LARGEST_BACKWARD_BATCH = 64  # images and classes together; more gains nothing and takes memory
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
    gradients are neither computed nor touched. A model through which no gradient finds its way has
    the gradient zero.

    Expectation over transformation (EOT): Athalye et al., "Synthesizing Robust Adversarial
    Examples", ICML 2018, arXiv:1707.07397, eq. 2. It matters for stochastic models only.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; of an optimised one the search model is
            followed, by its compiled step where there is one.
        x: images [N,C,H,W]; not modified.
        loss_function: logits [N,K] -> loss [N].
        eot_samples: passes to average over, at least 1.

    Raises:
        InputError: the model does not return a tensor [N,K].
    """
    search_step = getattr(model, "search_step", None)
    found = search_step(x, loss_function) if search_step and eot_samples == 1 else None
    if found is not None:
        return InputGradient(*found)
    model = search_model(model)
    x = x.detach().requires_grad_(True)
    found = _one_look(model, x, loss_function, 1 / eot_samples)
    for _ in range(eot_samples - 1):
        more = _one_look(model, x, loss_function, 1 / eot_samples)
        found = [one + other for one, other in zip(found, more, strict=True)]
    return InputGradient(*found)


def _one_look(
    model: nn.Module, x: Tensor, loss_function: LossFunction, share: float
) -> list[Tensor]:
    """Return `share` of the gradient, the loss and the logits of one pass."""
    with torch.enable_grad():
        logits = check_logits(model(x), len(x))
        loss = loss_function(logits)
        found = [_gradient_of_sum(loss, x), loss.detach(), logits.detach().float()]
    return found if share == 1.0 else [one * share for one in found]


def differentiable_input_gradient(
    model: nn.Module, x: Tensor, loss_function: LossFunction
) -> tuple[Tensor, Tensor]:
    """Return the loss [N] and its gradient [N,C,H,W] at `x`, both with a graph back to `x`.

    For what is differentiated a second time; arguments as for `input_gradient`, `x` must require a
    gradient.
    """
    with torch.enable_grad():
        loss = loss_function(check_logits(model(x), len(x)))
        (gradient,) = torch.autograd.grad(loss.sum(), x, create_graph=True)
    return loss, gradient


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

    Entries of a gradient that are no finite number count as zero.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W]; not modified.
        y: labels [N].
        other: one class for each image [N], M = 1; None: all K - 1 others in order, M = K - 1.
    """
    model = search_model(model)
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = check_logits(model(x), len(x)).float()
        if other is None:
            every = torch.arange(logits.shape[1], device=x.device).expand(len(x), -1)
            classes = every[every != y[:, None]].view(len(x), -1)  # [N, K-1]
        else:
            classes = other[:, None]
        difference = logits.gather(1, classes) - logits.gather(1, y[:, None])
        gradient = finite(_gradient_of_columns(model, difference, x))
    return ClassGradients(difference.detach(), gradient, logits.detach())


ClassScore = Callable[[Tensor, Tensor], Tensor]  # logits [N,K], classes [N] -> score [N]


def class_gradients(
    model: nn.Module,
    x: Tensor,
    classes: Tensor,
    score: ClassScore,
    *,
    create_graph: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the input gradient of M classes' scores, [N,M,C,H,W], and the logits [N,K].

    One forward pass; scores are summed over the images.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W]; not modified.
        classes: M classes for each image, int64 [N,M].
        score: (logits [N,K], classes [N]) -> [N], such as `losses.log_odds`.
        create_graph: keep the graph, so that a loss of the gradients (and of the logits) can train
            the model; otherwise both are detached.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = check_logits(model(x), len(x))
        scores = torch.stack([score(logits, column) for column in classes.unbind(dim=1)], dim=1)
        gradient = _gradient_of_columns(model, scores, x, create_graph=create_graph)
    return (gradient, logits) if create_graph else (gradient.detach(), logits.detach())


def _gradient_of_columns(
    model: nn.Module, scores: Tensor, x: Tensor, *, create_graph: bool = False
) -> Tensor:
    """Return the input gradient of each of M scores: [N,M] -> [N,M,C,H,W].

    An optimised model computes the backward passes of several columns as one larger batch, which
    pays off for few images. Other models may have parts that cannot: these go column by column.
    """
    num_together = 1
    if scores.shape[1] > 1 and not create_graph and is_optimised(model):
        num_together = max(1, LARGEST_BACKWARD_BATCH // max(len(x), 1))
    if num_together == 1:
        columns = [
            _gradient_of_sum(column, x, retain_graph=True, create_graph=create_graph)
            for column in scores.unbind(dim=1)
        ]
        return torch.stack(columns, dim=1)
    chosen = torch.eye(scores.shape[1], device=x.device)[:, None].expand(-1, len(x), -1)

    def backward(weights: Tensor) -> Tensor:  # [N, M]
        return torch.autograd.grad(scores, x, weights, retain_graph=True)[0]

    parts = [torch.vmap(backward)(part) for part in chosen.split(num_together)]  # [M', N, M] each
    return torch.cat(parts).transpose(0, 1)


def _gradient_of_sum(
    scores: Tensor, x: Tensor, *, retain_graph: bool = False, create_graph: bool = False
) -> Tensor:
    """Return the gradient of the sum of `scores` [N] at x: like x, zero where there is no path."""
    if not scores.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(
        scores.sum(),
        x,
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return gradient


def finite(gradient: Tensor) -> Tensor:
    """Return a gradient whose entries that are no finite number are zero."""
    return torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Return <a, b> / (||a|| ||b||) of images: [...,C,H,W], [...,C,H,W] -> float32 [...].

    Each vector is first divided by its largest entry, so that tiny gradients keep their direction:
    `torch.nn.functional.cosine_similarity` gives .006 for parallel vectors of norm 5e-11. Zero for
    a vector that is zero.
    """
    return (_unit(one) * _unit(other)).sum(dim=-1)


def conflict(targets: Tensor) -> Tensor:
    """Return how far a softmax classifier is from being able to meet its targets: -> [N].

    min over w >= 0, sum_c w_c = 1 of ||sum_c w_c u_c||, u_c the target's direction. The gradients
    of any softmax obey sum_c p_c grad log p_c = 0, so all K can point along their targets only
    where this is 0, as it is of the scores of one density: sum_c p(c | x_t) (s(x_t | c) - s(x_t))
    = 0. It is 1 where all targets are one direction and about 1 / sqrt(K) of random ones.

    Args:
        targets: directions [N,K,C,H,W] of any length; one of length 0 can be met.
    """
    unit = _unit(targets).double().cpu()
    # w of any sum, with (1 - sum_c w_c)^2 added, has the same direction; its least value r gives
    # the least q = ||sum_c w_c u_c||^2 at sum 1 by r^2 = q / (1 + q)
    rows = torch.cat([unit.transpose(1, 2), torch.ones_like(unit[:, None, :, 0])], dim=1)
    wanted = np.zeros(rows.shape[1])
    wanted[-1] = 1.0
    least = torch.tensor([nnls(each.numpy(), wanted)[1] for each in rows], dtype=torch.float64)
    square = least.square().clamp(max=0.5)
    return (square / (1 - square)).sqrt().float().to(targets.device)


def _unit(images: Tensor) -> Tensor:
    vector = images.float().flatten(-3)
    largest = vector.detach().abs().amax(dim=-1, keepdim=True)
    vector = vector / torch.where(largest > 0, largest, 1.0)
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(0.5)  # 1 or more, or zero


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
def repeatable_noise(
    seed: int, device: torch.device, *, stream: Literal["clean", "attack", "judge"] = "judge"
) -> Iterator[None]:
    """Seed torch's default generators, which stochastic models draw from; restore them after.

    Args:
        seed: the same gives the same noise.
        device: what the models compute on.
        stream: what an attack draws is never what its images are evaluated with, nor what the clean
            images were.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # a hash, because the CPU's generator takes no more than 32 bits of a seed
        value = zlib.crc32(f"{stream} {seed}".encode())
        torch.default_generator.manual_seed(value)  # torch.manual_seed keeps a traceback: .5 ms
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(value)
        yield


def search_logits(model: nn.Module, x: Tensor, *, eot_samples: int = 1) -> Tensor:
    """Return what `predict_logits` does, by the search model of an optimised one.

    In low precision they decide nothing: see `is_approximate`.
    """
    return predict_logits(search_model(model), x, eot_samples=eot_samples)


def is_approximate(model: nn.Module) -> bool:
    """Return whether logits of the search need a float32 forward pass before they count."""
    return exact_model(model) is not search_model(model)


@torch.no_grad()
def predict_logits(model: nn.Module, x: Tensor, *, eot_samples: int = 1) -> Tensor:
    """Return the logits of `x`, averaged over `eot_samples` passes: [N,C,H,W] -> float32 [N,K]."""
    logits = torch.zeros((), device=x.device)
    for _ in range(eot_samples):
        logits = logits + check_logits(model(x), len(x)).float() / eot_samples
    return logits
