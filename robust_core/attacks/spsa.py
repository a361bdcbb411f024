"""SPSA: gradient ascent with gradients estimated from outputs."""

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
    RandomStart,
)
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.gradients import finite, predict_logits


@ATTACKS.register("spsa")
class SPSA(Attack):
    """Adam on the margin with gradients from random finite differences; gradient-free.

    gradient ~ mean over v of (L(x + h v) - L(x - h v)) / (2 h) * v, with random signs v.
    An image leaves the search when it is fooled.

    Source: Uesato, O'Donoghue, van den Oord and Kohli, "Adversarial Risk and the Dangers of
    Evaluating Against Weak Attacks", ICML 2018, arXiv:1802.05666, algorithm 1.
    """

    title: ClassVar[str] = "SPSA"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("SPSA", 100),)

    gradient_free: ClassVar[bool] = True

    num_steps: NumSteps = 100
    num_samples: Annotated[
        int, Field(ge=1, le=100_000, description="Random directions per gradient estimate.")
    ] = 128
    difference: Annotated[
        float,
        Field(
            gt=0.0, le=1.0, description="Step h of the finite difference, in pixel units ([0, 1])."
        ),
    ] = 0.01
    learning_rate: Annotated[
        float, Field(gt=0.0, le=1.0, description="Learning rate of Adam, in pixel units ([0, 1]).")
    ] = 0.01
    random_start: RandomStart = True
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Ascend; images are dropped from the estimate when they fall."""
        generator = torch.Generator().manual_seed(self.seed)
        threat_model, criterion = self.threat_model, Criterion("margin", y, target)
        result, index = x.clone(), torch.arange(len(x), device=x.device)
        x_adv = threat_model.random_start(x, generator) if self.random_start else x
        first, second = torch.zeros_like(x), torch.zeros_like(x)  # Adam's moments
        for step in range(self.num_steps + 1):
            logits = predict_logits(model, x_adv, eot_samples=self.eot_samples)
            if on_step is not None:
                on_step(AttackStep(step, x_adv, criterion(logits), logits))
            result[index] = x_adv
            keep = ~criterion.is_met(logits)
            index, x, x_adv, criterion = index[keep], x[keep], x_adv[keep], criterion.select(keep)
            first, second = first[keep], second[keep]
            if len(index) == 0 or step == self.num_steps:
                break
            gradient = self._estimate(model, x_adv, criterion, generator)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient.square()
            mean = first / (1 - 0.9 ** (step + 1))
            deviation = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            x_adv = threat_model.project(x_adv + self.learning_rate * mean / deviation, x)
        return result

    def _estimate(
        self, model: nn.Module, x: Tensor, criterion: Criterion, generator: torch.Generator
    ) -> Tensor:
        gradient = torch.zeros_like(x)
        for _ in range(self.num_samples):
            signs = torch.randint(0, 2, x.shape, generator=generator).to(x) * 2.0 - 1.0
            both = torch.cat([x + self.difference * signs, x - self.difference * signs])
            above, below = predict_logits(model, both, eot_samples=self.eot_samples).chunk(2)
            slope = (criterion(above) - criterion(below)) / (2.0 * self.difference)
            gradient += finite(slope).view(-1, 1, 1, 1) * signs
        return gradient / self.num_samples

    def passes(self) -> int:
        """Return the forward passes per image: (2 num_samples + 1) * num_steps * eot_samples."""
        return (2 * self.num_samples + 1) * self.num_steps * self.eot_samples
