"""BPDA: gradient attack through a part that hides the gradient."""

from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, OnStep
from robust_core.attacks.pgd import PGD
from robust_core.models.wrappers import with_substituted_backward


@ATTACKS.register("bpda")
class BPDA(PGD):
    """PGD on a twin whose masking parts pass the gradient through unchanged.

    The parts are those that the model names in `masking_parts` (a quantiser, say); forward they
    act as they are, backward as the identity. On a model that names none it is PGD.

    Source: Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security:
    Circumventing Defenses to Adversarial Examples", ICML 2018, arXiv:1802.00420, section 4.1.
    """

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Attack the twin."""
        return super().perturb(self.twin(model), x, y, target, on_step)

    @staticmethod
    def twin(model: nn.Module) -> nn.Module:
        """Return the model whose gradients the attack follows; the outputs are the same."""
        parts: tuple[str, ...] = getattr(model, "masking_parts", ())
        return with_substituted_backward(model, parts) if parts else model
