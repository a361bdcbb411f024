"""The momentum iterative method."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import (
    ATTACKS,
    Attack,
    EotSamples,
    LossName,
    NumSteps,
    OnStep,
    RandomStart,
    StepSize,
    automatic_step_size,
)
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.attacks.projected_ascent import projected_ascent
from robust_core.gradients import finite


@ATTACKS.register("mim")
class MIM(Attack):
    """MI-FGSM: g <- decay * g + gradient / ||gradient||_1, then a step along direction(g).

    Source: Dong et al., "Boosting Adversarial Attacks with Momentum", CVPR 2018,
    arXiv:1710.06081, algorithm 1. Differences: the automatic step size is 2.5 epsilon / num_steps
    (theirs: epsilon / num_steps), and a random start is offered (theirs: none, the default here).
    """

    title: ClassVar[str] = "MIM"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("MIM-20", 50, {"num_steps": 20}),)
    advanced: ClassVar[tuple[str, ...]] = (*Attack.advanced, "decay")

    searches_low_precision: ClassVar[bool] = True

    step_size: StepSize = None
    num_steps: NumSteps = 20
    decay: Annotated[
        float,
        Field(ge=0.0, le=2.0, description="Momentum: decay factor of the accumulated gradients."),
    ] = 1.0
    random_start: RandomStart = False
    loss: LossName = "cross_entropy"
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Ascend along the accumulated direction."""
        threat_model = self.threat_model
        velocity = torch.zeros_like(x)

        def ascent(gradient: Tensor) -> Tensor:
            nonlocal velocity
            gradient = finite(gradient)
            length = gradient.flatten(1).abs().sum(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
            velocity = self.decay * velocity + gradient / length
            return threat_model.ascent_direction(velocity)

        generator = torch.Generator().manual_seed(self.seed)
        return projected_ascent(
            model,
            x,
            Criterion(self.loss, y, target),
            threat_model,
            x_start=threat_model.random_start(x, generator) if self.random_start else x,
            step_size=automatic_step_size(self.step_size, self.epsilon, self.num_steps),
            num_steps=self.num_steps,
            eot_samples=self.eot_samples,
            ascent=ascent,
            on_step=on_step,
        )

    def passes(self) -> int:
        """Return num_steps * eot_samples."""
        return self.num_steps * self.eot_samples
