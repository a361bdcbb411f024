"""The fast gradient sign method."""

from typing import ClassVar

from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, Attack, EotSamples, LossName, OnStep
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.attacks.projected_ascent import projected_ascent


@ATTACKS.register("fgsm")
class FGSM(Attack):
    """FGSM: x_adv = clip(x + epsilon * sign(gradient of the loss at x)), one step from the image.

    Source: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR
    2015, arXiv:1412.6572, section 4. Difference: with the L2 norm the step is epsilon times the
    normalised gradient (the "fast gradient method").
    """

    title: ClassVar[str] = "FGSM"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("FGSM", 10),)

    searches_low_precision: ClassVar[bool] = True

    loss: LossName = "cross_entropy"
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Take the one step."""
        return projected_ascent(
            model,
            x,
            Criterion(self.loss, y, target),
            self.threat_model,
            x_start=x,
            step_size=self.epsilon,
            num_steps=1,
            eot_samples=self.eot_samples,
            on_step=on_step,
        )

    def passes(self) -> int:
        """Return eot_samples: one gradient."""
        return self.eot_samples
