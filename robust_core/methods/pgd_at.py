"""PGD adversarial training."""

from functools import partial

from torch import nn

from robust_core.attacks.base import StepSize
from robust_core.losses import cross_entropy
from robust_core.methods.base import METHODS, Batch, MethodOutput, TrainingMethod
from robust_core.methods.inner_attack import (
    BatchNormMode,
    InnerSteps,
    WarmupEpochs,
    inner_maximisation,
)
from robust_core.threat_model import BallParameters, ThreatModel


class PGDATParameters(BallParameters):
    """Parameters of PGD adversarial training; defaults: CIFAR-10 of the released code."""

    step_size: StepSize = None  # 2/255 at the default radius and number of steps
    num_steps: InnerSteps = 10
    warmup_epochs: WarmupEpochs = 0
    batch_norm: BatchNormMode = "eval"


@METHODS.register("pgd_at")
class PGDAT(TrainingMethod):
    """Minimise CE(f(x_adv), y) at x_adv = PGD(x), started uniformly in the ball.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
    2018, arXiv:1706.06083, eq. 2.1. Difference: the attack sees batch norm in eval mode unless
    `batch_norm` says otherwise. Option: a radius that grows over the first epochs.
    """

    Parameters = PGDATParameters
    share_of_radius: float = 1.0  # in the current epoch

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set the radius of this epoch: it grows linearly over the first `warmup_epochs`."""
        settings: PGDATParameters = self.settings
        warmup = settings.warmup_epochs
        self.share_of_radius = min(epoch / warmup, 1.0) if warmup else 1.0

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE(f(x_adv), y)."""
        settings: PGDATParameters = self.settings
        share = self.share_of_radius
        threat_model = ThreatModel(settings.norm, share * settings.epsilon)
        x_adv = inner_maximisation(
            model,
            batch.x,
            partial(cross_entropy, y=batch.y),
            threat_model,
            x_start=threat_model.random_start(batch.x),
            step_size=None if settings.step_size is None else share * settings.step_size,
            num_steps=settings.num_steps,
            batch_norm=settings.batch_norm,
        )
        loss = cross_entropy(model(x_adv), batch.y).mean()
        return MethodOutput(loss, {"adversarial_cross_entropy": loss.item()})
