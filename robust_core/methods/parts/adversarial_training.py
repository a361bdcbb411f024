"""What PGD adversarial training and TRADES share: warm-up, weight perturbation, embedding."""

from torch import nn

from robust_core.attacks.base import StepSize
from robust_core.methods.base import Onset, TrainingMethod
from robust_core.methods.parts.angular_margin import HEMargin, HEScale, HypersphereEmbedding
from robust_core.methods.parts.awp import AWPGamma, AWPWarmupEpochs, WeightPerturbation
from robust_core.methods.parts.inner_attack import (
    BatchNormMode,
    EpsilonWarmup,
    InnerSteps,
    WarmupEpochs,
)
from robust_core.threat_model import ThreatModelParameters


class AdversarialTrainingParameters(ThreatModelParameters):
    """Parameters of an inner attack and of what can be added to the method around it."""

    step_size: StepSize = None  # 2/255 at the default epsilon and number of steps
    num_steps: InnerSteps = 10
    warmup_epochs: WarmupEpochs = 0
    batch_norm: BatchNormMode = "eval"
    awp_gamma: AWPGamma = 0.0
    awp_warmup_epochs: AWPWarmupEpochs = 0
    hypersphere_embedding: HypersphereEmbedding
    he_scale: HEScale
    he_margin: HEMargin


class AdversarialTraining(TrainingMethod):
    """An outer loss at the images of an inner attack, with three options.

    An epsilon that grows over the first epochs (`warmup`); the loss taken at perturbed weights
    (`weight_perturbation`); hypersphere embedding (`angular_margin`, of every method).
    """

    def __init__(self, parameters: AdversarialTrainingParameters) -> None:
        """Start at the epsilon of the first epoch."""
        super().__init__(parameters)
        self.warmup = EpsilonWarmup(
            parameters.threat_model, parameters.step_size, parameters.warmup_epochs
        )
        self.weight_perturbation = WeightPerturbation(
            parameters.awp_gamma, parameters.awp_warmup_epochs
        )

    @classmethod
    def onsets(cls, settings: AdversarialTrainingParameters) -> tuple[Onset, ...]:
        """Return when epsilon is full and when the weights are perturbed."""
        return (
            *EpsilonWarmup.onset(settings.warmup_epochs),
            *WeightPerturbation.onset(settings.awp_gamma, settings.awp_warmup_epochs),
        )

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set epsilon of this epoch, and whether the weights are perturbed."""
        self.warmup.on_epoch_start(epoch)
        self.weight_perturbation.on_epoch_start(epoch)

    def after_backward(self, model: nn.Module) -> None:
        """Put the weights back where they were perturbed."""
        self.weight_perturbation.restore()
