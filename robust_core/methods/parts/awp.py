"""Adversarial weight perturbation: the outer loss is taken at the worst weights nearby."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.distributed import average_gradients
from robust_core.methods.base import MethodOutput, Onset
from robust_core.models.heads import CosineHead

AWPGamma = Annotated[
    float,
    Field(
        ge=0.0,
        le=1.0,
        description="Adversarial weight perturbation (AWP): size of the weight perturbation "
        "relative to the norm of a layer; 0: off; 0.005 to 0.01 in the paper.",
    ),
]
AWPWarmupEpochs = Annotated[
    int, Field(ge=0, le=1000, description="AWP: epochs before the weights are perturbed.")
]

SMALLEST_NORM = 1e-20  # as released; keeps a zero gradient from dividing by zero


class WeightPerturbation:
    """Moves the weights uphill before the outer loss and back after its backward pass.

    For every weight tensor w of more than one dimension, with g the gradient of the outer loss:

        v = ||w|| / (||g|| + 1e-20) * g,   outer loss and its gradient at w + gamma v

    so the tensor is moved by gamma times its own norm. Biases and the scales of batch norm stay,
    and so do the weights of a cosine head (see `perturbed_weights`).

    A method asks `outer_loss` for its loss and calls `restore` in `after_backward`.

    Source: Wu, Xia and Wang, "Adversarial Weight Perturbation Helps Robust Generalization",
    NeurIPS 2020, arXiv:2004.05884; one ascent step, as released. Differences from the released
    code:
    - g comes straight from the network, with its buffers put back, not from one SGD step of a
      proxy: the proxy's learning rate cancels in v.
    - The weights are restored after the backward pass, bit for bit, not by subtraction after the
      optimiser's step. The gradient is the same; weight decay acts on w instead of on
      w + gamma v, a difference of learning rate * decay * gamma v. So gradients of several
      batches can be accumulated, each with a perturbation of its own.
    - The released AT-AWP sends the clean batch forward in train mode once more in every step, which
      moves the running statistics of batch norm, and attacks in train mode from the second batch of
      an epoch on. Here there is no such pass, and the attack sees batch norm as the base method's
      `batch_norm` says, in eval mode by default.
    - The released code takes tensors with "weight" in their name; here every tensor of more than
      one dimension counts, such as the position embedding of a transformer.
    """

    def __init__(self, gamma: float, warmup_epochs: int = 0) -> None:
        """Perturb by `gamma` (0: never) from epoch number `warmup_epochs` on, counted from 0."""
        self.gamma = gamma
        self.warmup_epochs = warmup_epochs
        self.epoch = 0
        self._originals: list[tuple[nn.Parameter, Tensor]] = []

    @staticmethod
    def onset(gamma: float, warmup_epochs: int) -> tuple[Onset, ...]:
        """Return when the weights are perturbed, unless they are so from the start or never."""
        perturbed = Onset(
            "the weights are perturbed", f"awp_warmup_epochs {warmup_epochs}", warmup_epochs
        )
        return (perturbed,) if gamma > 0.0 and warmup_epochs else ()

    def on_epoch_start(self, epoch: int) -> None:
        """Note the epoch, from 0."""
        self.epoch = epoch

    def outer_loss(
        self, model: nn.Module, loss_function: Callable[[], MethodOutput]
    ) -> MethodOutput:
        """Return the outer loss at the perturbed weights, where the model is left until `restore`.

        Args:
            model: the network, in train mode.
            loss_function: computes the outer loss of one batch with the model as it then is; it is
                called twice, and the model's buffers change in the second call only.
        """
        self.restore()
        if self.gamma > 0.0 and self.epoch >= self.warmup_epochs:
            weights = perturbed_weights(model)
            with _buffers_kept(model):
                gradients = torch.autograd.grad(
                    loss_function().loss, weights, materialize_grads=True
                )
            self._move(weights, _averaged(weights, gradients))
        return loss_function()

    @torch.no_grad()
    def restore(self) -> None:
        """Put the weights back, bit for bit; does nothing where they were not moved."""
        for weight, original in self._originals:
            weight.copy_(original)
        self._originals = []

    @torch.no_grad()
    def _move(self, weights: list[nn.Parameter], gradients: list[Tensor]) -> None:
        self._originals = [(weight, weight.clone()) for weight in weights]
        for weight, gradient in zip(weights, gradients, strict=True):
            relative = weight.norm() / (gradient.norm() + SMALLEST_NORM)
            weight.add_(self.gamma * relative * gradient)
        # autocast keeps copies of the weights in low precision, which are stale now
        torch.clear_autocast_cache()


def perturbed_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the trainable tensors that AWP moves.

    Those of more than one dimension, but not the weights of a cosine head: only their direction
    counts, and a step or a retraction to the unit sphere must not meet perturbed ones.
    """
    heads = [module for module in model.modules() if isinstance(module, CosineHead)]
    left_out = {id(weight) for head in heads for weight in head.parameters()}
    return [
        weight
        for weight in model.parameters()
        if weight.dim() > 1 and weight.requires_grad and id(weight) not in left_out
    ]


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put the buffers back afterwards: the ascent must not count in batch norm's statistics."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


def _averaged(weights: list[nn.Parameter], gradients: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the mean gradients over all processes, so that they move the same weights alike."""
    carriers = [weight.detach() for weight in weights]
    for carrier, gradient in zip(carriers, gradients, strict=True):
        carrier.grad = gradient
    average_gradients(carriers)
    return [gradient for carrier in carriers if (gradient := carrier.grad) is not None]
