"""Models around models: what an attacker does to a network to see through it."""

import copy

from torch import Tensor, nn


class ScaledLogits(nn.Module):
    """The same predictions with all logits multiplied by `scale`.

    A large scale saturates the softmax and hides the gradient of cross-entropy; a small one
    brings it back: Carlini and Wagner, "Defensive Distillation is Not Robust to Adversarial
    Examples", arXiv:1607.04311.
    """

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model = model
        self.scale = scale
        self.num_classes = getattr(model, "num_classes", None)
        inner: tuple[str, ...] = getattr(model, "masking_parts", ())
        self.masking_parts = tuple(f"model.{name}" for name in inner)
        self.train(model.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return scale * logits: [N,C,H,W] -> [N,K]."""
        return self.scale * self.model(x)


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
        """Return part(x), with the gradient of substitute(x)."""
        smooth = self.substitute(x)
        return self.part(x).detach() + (smooth - smooth.detach())


def with_substituted_backward(
    model: nn.Module, parts: tuple[str, ...], substitute: nn.Module | None = None
) -> nn.Module:
    """Return a copy of `model` in which the named modules have another backward pass.

    Args:
        model: left as it is; the copy shares its parameters.
        parts: dotted names of submodules, as in `model.get_submodule`.
        substitute: what the backward pass differentiates instead; None: the identity.
    """
    shared = {id(value): value for value in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    for name in parts:
        replacement = SubstitutedBackward(twin.get_submodule(name), substitute or nn.Identity())
        replacement.train(twin.training)
        twin.set_submodule(name, replacement)
    return twin
