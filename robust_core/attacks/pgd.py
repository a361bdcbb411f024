"""Projected gradient descent, the standard first-order attack."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import (
    ATTACKS,
    Attack,
    EotSamples,
    LossName,
    NumRestarts,
    NumSteps,
    OnStep,
    RandomStart,
    StepSize,
    automatic_step_size,
)
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.attacks.projected_ascent import best_of_rounds, projected_ascent


@ATTACKS.register("pgd")
class PGD(Attack):
    """PGD: x_{t+1} = project(x_t + step_size * direction(gradient of the loss at x_t)).

    The direction is the sign (Linf) or the normalised gradient (L2); the last iterate is returned,
    or with `stop_when_fooled` the first adversarial one.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
    2018, arXiv:1706.06083, section 2.1. Differences: L2 is offered too, the automatic step
    size is 2.5 epsilon / num_steps (their section 5 value), and restarts skip fooled images.
    """

    title: ClassVar[str] = "PGD"
    presets: ClassVar[tuple[AttackPreset, ...]] = (
        AttackPreset("PGD-20", 20, {"num_steps": 20}),
        AttackPreset("PGD-20, margin loss", 30, {"num_steps": 20, "loss": "margin"}),
        AttackPreset("PGD-50 x 5", 40, {"num_steps": 50, "num_restarts": 5}),
    )

    searches_low_precision: ClassVar[bool] = True

    step_size: StepSize = None
    num_steps: NumSteps = 20
    random_start: RandomStart = True
    num_restarts: NumRestarts = 1
    loss: LossName = "cross_entropy"
    eot_samples: EotSamples = 1
    stop_when_fooled: Annotated[
        bool,
        Field(
            description="Stop an image at its first adversarial example: the same robust "
            "accuracy, in much less time."
        ),
    ] = False

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Run every restart and keep each image's best result."""
        generator = torch.Generator().manual_seed(self.seed)
        threat_model = self.threat_model

        def attack_once(restart: int, x: Tensor, criterion: Criterion) -> Tensor:
            return projected_ascent(
                model,
                x,
                criterion,
                threat_model,
                x_start=threat_model.random_start(x, generator) if self.random_start else x,
                step_size=automatic_step_size(self.step_size, self.epsilon, self.num_steps),
                num_steps=self.num_steps,
                eot_samples=self.eot_samples,
                on_step=on_step,
                restart=restart,
                stop_when_fooled=self.stop_when_fooled,
            )

        return best_of_rounds(
            attack_once,
            model,
            x,
            Criterion(self.loss, y, target),
            num_rounds=self.num_restarts if self.random_start else 1,
            eot_samples=self.eot_samples,
        )

    def passes(self) -> int:
        """Return num_steps * num_restarts * eot_samples, and a forward pass a restart."""
        restarts = self.num_restarts if self.random_start else 1
        return (self.num_steps + (restarts > 1)) * restarts * self.eot_samples
