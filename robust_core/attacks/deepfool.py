"""DeepFool: the nearest adversarial image of a linearised classifier, repeated."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import (
    ATTACKS,
    Attack,
    AttackStep,
    EotSamples,
    NumSteps,
    OnStep,
)
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.fab import nearest_hyperplane
from robust_core.attacks.preset import AttackPreset
from robust_core.gradients import class_difference_gradients, predict_logits
from robust_core.inference.wrappers import averaged
from robust_core.threat_model import Epsilon, Norm

LEAST_WAY = 1e-4  # added to each step, so that a point on the boundary moves on


@ATTACKS.register("deepfool")
class DeepFool(Attack):
    """DeepFool: step onto the nearest linearised class boundary until the label changes.

    L2: r = |f| / ||w||_2^2 * w; Linf: r = |f| / ||w||_1 * sign(w), with f = z_k - z_y, w its
    gradient and k the class with the smallest |f| / ||w||_dual. The sum of the steps is finally
    lengthened by `overshoot`. Targeted, k is the target.

    A minimum-norm attack: `epsilon` does not steer it, results are evaluated by their distance.
    With `eot_samples` the model is the mean of so many passes.

    Source: Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool: a simple and accurate method to fool
    deep neural networks", CVPR 2016, arXiv:1511.04599, algorithm 2 and eq. 10.
    """

    title: ClassVar[str] = "DeepFool"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("DeepFool", 130),)

    minimum_norm: ClassVar[bool] = True

    norm: Annotated[Norm, Field(description="Norm of the perturbation.")] = Norm.L2
    epsilon: Epsilon = 0.5
    num_steps: NumSteps = 50
    overshoot: Annotated[
        float,
        Field(ge=0.0, le=1.0, description="Relative overshoot added to the final perturbation."),
    ] = 0.02
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Step until every image is fooled or the steps are used up."""
        model = averaged(model, self.eot_samples)
        criterion = Criterion("margin", y, target)
        result, x_adv, clean = x.clone(), x, x
        index, travelled = torch.arange(len(x), device=x.device), torch.zeros_like(x)
        for step in range(self.num_steps + 1):
            if step == self.num_steps:
                logits = predict_logits(model, x_adv)
                at = None
            else:
                at = class_difference_gradients(model, x_adv, criterion.y, criterion.target)
                logits = at.logits
            if on_step is not None:
                on_step(AttackStep(step, x_adv, criterion(logits), logits))
            result[index] = x_adv
            if at is None:
                break
            remaining = ~criterion.is_met(logits)
            index, criterion, clean = (
                index[remaining],
                criterion.select(remaining),
                clean[remaining],
            )
            if len(index) == 0:
                break
            difference, gradient = at.difference[remaining], at.gradient[remaining]
            w, b = nearest_hyperplane(difference, gradient, x_adv[remaining], self.norm)
            gap = (b - (w * x_adv[remaining]).flatten(1).sum(dim=1)).abs()
            dual = w.flatten(1).norm(p=1 if self.norm is Norm.LINF else 2, dim=1) + 1e-8
            way = (gap / dual + LEAST_WAY).view(-1, 1, 1, 1)
            unit = w.sign() if self.norm is Norm.LINF else w / dual.view(-1, 1, 1, 1)
            travelled = travelled[remaining] + way * unit
            x_adv = (clean + (1 + self.overshoot) * travelled).clamp(0.0, 1.0)
        return result

    def passes(self) -> int:
        """Return num_steps * eot_samples; every pass takes a gradient for each class."""
        return self.num_steps * self.eot_samples
