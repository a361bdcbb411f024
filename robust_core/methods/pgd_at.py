"""PGD adversarial training."""

from torch import nn

from robust_core.attacks.base import StepSize
from robust_core.losses import cross_entropy
from robust_core.methods.angular_margin import (
    AngularMargin,
    HEMargin,
    HEScale,
    HypersphereEmbedding,
)
from robust_core.methods.awp import AWPGamma, AWPWarmupEpochs, WeightPerturbation
from robust_core.methods.base import METHODS, Batch, MethodOutput, TrainingMethod
from robust_core.methods.inner_attack import (
    BatchNormMode,
    InnerSteps,
    RadiusWarmup,
    WarmupEpochs,
    inner_maximisation,
)
from robust_core.models.base import Classifier
from robust_core.threat_model import BallParameters


class PGDATParameters(BallParameters):
    """Parameters of PGD adversarial training; defaults: CIFAR-10 of the released code."""

    step_size: StepSize = None  # 2/255 at the default radius and number of steps
    num_steps: InnerSteps = 10
    warmup_epochs: WarmupEpochs = 0
    batch_norm: BatchNormMode = "eval"
    awp_gamma: AWPGamma = 0.0
    awp_warmup_epochs: AWPWarmupEpochs = 0
    hypersphere_embedding: HypersphereEmbedding = False
    he_scale: HEScale = 15.0
    he_margin: HEMargin = 0.2


@METHODS.register("pgd_at")
class PGDAT(TrainingMethod):
    """Minimise CE(f(x_adv), y) at x_adv = PGD(x), started uniformly in the ball.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
    2018, arXiv:1706.06083, eq. 2.1. Difference: the attack sees batch norm in eval mode unless
    `batch_norm` says otherwise. Options: a radius that grows over the first epochs; the loss taken
    at adversarially perturbed weights (AT-AWP: `awp_gamma` 0.01), see `WeightPerturbation`;
    hypersphere embedding, see `AngularMargin`.
    """

    Parameters = PGDATParameters

    def __init__(self, parameters: PGDATParameters) -> None:
        """Start at the full radius."""
        super().__init__(parameters)
        self.radius = RadiusWarmup(
            parameters.threat_model, parameters.step_size, parameters.warmup_epochs
        )
        self.weight_perturbation = WeightPerturbation(
            parameters.awp_gamma, parameters.awp_warmup_epochs
        )
        self.angular_margin = AngularMargin(
            parameters.hypersphere_embedding, parameters.he_scale, parameters.he_margin
        )

    def attach(self, model: Classifier) -> None:
        """Check that the network's head fits, with hypersphere embedding or without."""
        self.angular_margin.attach(model)

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set the radius of this epoch, and whether the weights are perturbed."""
        self.radius.on_epoch_start(epoch)
        self.weight_perturbation.on_epoch_start(epoch)

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE(f(x_adv), y)."""
        settings: PGDATParameters = self.settings
        threat_model = self.radius.threat_model
        x_adv = inner_maximisation(
            model,
            batch.x,
            lambda logits: cross_entropy(self.angular_margin.scaled(logits), batch.y),
            threat_model,
            x_start=threat_model.random_start(batch.x),
            step_size=self.radius.step_size,
            num_steps=settings.num_steps,
            batch_norm=settings.batch_norm,
        )

        def outer_loss() -> MethodOutput:
            logits = self.angular_margin.with_margin(model(x_adv), batch.y)
            loss = cross_entropy(logits, batch.y).mean()
            return MethodOutput(loss, {"adversarial_cross_entropy": loss.item()})

        return self.weight_perturbation.outer_loss(model, outer_loss)

    def after_backward(self, model: nn.Module) -> None:
        """Put the weights back where they were perturbed."""
        self.weight_perturbation.restore()

    def inferences(self, model: Classifier) -> tuple[str, ...]:
        """Return the network's own ways, and "scaled" with hypersphere embedding."""
        return self.angular_margin.inferences(model)

    def inference(self, name: str, model: Classifier) -> Classifier:
        """Return the network used as `name` says."""
        return self.angular_margin.inference(name, model)
