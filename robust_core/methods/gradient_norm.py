"""The gradient-norm penalty: what smoothing alone achieves, without an attack."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from robust_core.gradients import class_gradients
from robust_core.losses import cross_entropy
from robust_core.methods.base import METHODS, Batch, MethodOutput, TrainingMethod
from robust_core.methods.recipe import Recipe
from robust_core.threat_model import Norm, ThreatModelParameters


class GradientNormParameters(ThreatModelParameters):
    """Parameters of the gradient-norm penalty."""

    weight: Annotated[
        float,
        Field(
            ge=0.0,
            le=100.0,
            description="Weight of the penalty, as a perturbation size in pixel units ([0, 1]).",
        ),
    ] = 1.0


@METHODS.register("gradient_norm")
class GradientNorm(TrainingMethod):
    """Minimise the mean of CE(f(x), y) + weight * epsilon * ||grad_x CE(f(x), y)||_q.

    q is dual to the norm of the threat model: 1 for Linf, 2 for L2. With weight 1 this is the worst
    cross-entropy within the threat model to first order in epsilon, so adversarial training without
    an attack.

    Source: Simon-Gabriel, Ollivier, Bottou, Schoelkopf and Lopez-Paz, "First-order Adversarial
    Vulnerability of Neural Networks and Input Dimension", ICML 2019, arXiv:1802.01421; the idea is
    "double backpropagation", Drucker and Le Cun, IEEE Transactions on Neural Networks 1992.
    """

    Parameters = GradientNormParameters
    recipe = Recipe(published=())
    differentiates_twice = True

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE + weight * epsilon * mean of the dual norm of its input gradient."""
        settings: GradientNormParameters = self.settings
        with torch.autocast(batch.x.device.type, enabled=False):
            gradient, logits = class_gradients(
                model, batch.x.float(), batch.y[:, None], cross_entropy, create_graph=True
            )
        loss = cross_entropy(logits, batch.y).mean()
        order = 1 if settings.norm is Norm.LINF else 2
        penalty = settings.epsilon * gradient.flatten(1).norm(p=order, dim=1).mean()
        terms = {"cross_entropy": loss.item(), "gradient_penalty": penalty.item()}
        return MethodOutput(loss + settings.weight * penalty, terms)
