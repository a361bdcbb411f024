"""Models around models: what an attacker does to a network to see through it."""

import copy

import torch
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.gradients import check_logits
from robust_core.models.guard import ModelWrapper, attack_surrogates


class AveragedPasses(ModelWrapper):
    """The mean of the logits of several passes, each of which draws again (EOT).

    z(x) = 1/n sum_i z_i(x). The gradient flows through all n passes, whose graphs are in memory
    together. A model that is not random answers as before, but for rounding, at n times the cost.

    Expectation over transformation: Athalye et al., "Synthesizing Robust Adversarial Examples",
    ICML 2018, arXiv:1707.07397, eq. 2. Difference: the mean of the logits, as it decides in
    `evaluate(eot_samples=n)`, not of the loss; so the loss may be whatever an attack makes of them.
    """

    def __init__(self, model: nn.Module, num_passes: int) -> None:
        """Wrap a model, which is left as it is.

        Args:
            model: maps [N,C,H,W] in [0, 1] to logits [N,K]; of an optimised one the float32 clone
                answers.
            num_passes: n, at least 1.

        Raises:
            InputError: less than one pass.
        """
        super().__init__(model)
        if num_passes < 1:
            raise InputError(f"num_passes must be >= 1, got {num_passes}")
        self.num_passes = num_passes

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits: [N,C,H,W] -> float32 [N,K]."""
        passes = [check_logits(self.model(x), len(x)).float() for _ in range(self.num_passes)]
        return torch.stack(passes).mean(dim=0)

    def attack_surrogates(self) -> tuple[nn.Module, ...]:
        """Return those of the model, averaged, too."""
        return tuple(averaged(other, self.num_passes) for other in attack_surrogates(self.model))


def averaged(model: nn.Module, num_passes: int) -> nn.Module:
    """Return `AveragedPasses` of a model; one pass is the model itself, optimised or not."""
    return model if num_passes == 1 else AveragedPasses(model, num_passes)


class SubstitutedBackward(nn.Module):
    """Forward as `part`, backward as `substitute` (BPDA).

    Backward pass differentiable approximation: Athalye, Carlini and Wagner, "Obfuscated Gradients
    Give a False Sense of Security", ICML 2018, arXiv:1802.00420, section 4.1. With the identity as
    substitute it is the straight-through estimator; `part` must then keep the shape.
    """

    def __init__(self, part: nn.Module, substitute: nn.Module) -> None:
        super().__init__()
        self.part = part
        self.substitute = substitute

    def forward(self, x: Tensor) -> Tensor:
        """Return part(x), with the gradient of substitute(x).

        Raises:
            InputError: the shapes of both differ.
        """
        smooth = self.substitute(x)
        exact = self.part(x.detach().clone()).detach()  # a copy: some parts write to their input
        if exact.shape != smooth.shape:
            raise InputError(
                "the substitute of a part must return the shape that the part does, "
                f"{list(exact.shape)}, got {list(smooth.shape)}"
            )
        return exact + (smooth - smooth.detach())


def with_substituted_backward(
    model: nn.Module, parts: tuple[str, ...], substitute: nn.Module | None = None
) -> nn.Module:
    """Return a copy of `model` in which the named modules have another backward pass.

    Args:
        model: left as it is; the copy shares its parameters.
        parts: dotted names of submodules, as in `model.get_submodule`.
        substitute: what the backward pass differentiates instead; None: the identity.

    Raises:
        AttributeError: no such submodule.
    """
    shared = {id(value): value for value in (*model.parameters(), *model.buffers())}
    clone = copy.deepcopy(model, shared)
    for name in parts:
        replacement = SubstitutedBackward(clone.get_submodule(name), substitute or nn.Identity())
        replacement.train(clone.training)
        clone.set_submodule(name, replacement)
    return clone
