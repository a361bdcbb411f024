"""TRADES: clean cross-entropy plus the divergence between clean and attacked output."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import StepSize
from robust_core.gradients import predict_logits
from robust_core.losses import cross_entropy, kl_divergence
from robust_core.methods.angular_margin import (
    PLAIN,
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
    attack_mode,
    gaussian_start,
    inner_maximisation,
)
from robust_core.models.base import Classifier
from robust_core.threat_model import BallParameters, Epsilon


class TRADESParameters(BallParameters):
    """Parameters of TRADES; defaults: CIFAR-10 of the released code."""

    epsilon: Epsilon = 0.031
    step_size: StepSize = 0.007
    num_steps: InnerSteps = 10
    beta: Annotated[
        float,
        Field(ge=0.0, le=100.0, description="Weight of the KL term (1/lambda in the paper)."),
    ] = 6.0
    warmup_epochs: WarmupEpochs = 0
    batch_norm: BatchNormMode = "eval"
    awp_gamma: AWPGamma = 0.0
    awp_warmup_epochs: AWPWarmupEpochs = 0
    hypersphere_embedding: HypersphereEmbedding = False
    he_scale: HEScale = 15.0
    he_margin: HEMargin = 0.2


@METHODS.register("trades")
class TRADES(TrainingMethod):
    """Minimise CE(f(x), y) + beta * KL(f(x) || f(x_adv)), where x_adv maximises that KL.

    The attack uses no label and starts at x + 0.001 N(0, 1), because the KL has no gradient at x.

    Source: Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", ICML
    2019, arXiv:1901.08573, eq. 5 and algorithm 1. Difference: the released code sends the clean
    batch forward a second time in train mode; here it goes forward once, together with the
    attacked batch's own pass, so batch norm sees each batch once. Options: a radius that
    grows over the first epochs; the loss taken at adversarially perturbed weights (TRADES-AWP:
    `awp_gamma` 0.005 after 10 warm-up epochs, epsilon 8/255, step size 2/255), see
    `WeightPerturbation`; hypersphere embedding, see `AngularMargin`, with the KL between the scaled
    cosines.
    """

    Parameters = TRADESParameters

    def __init__(self, parameters: TRADESParameters) -> None:
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
        """Return mean CE(f(x), y) + beta * mean KL(f(x) || f(x_adv))."""
        settings: TRADESParameters = self.settings
        with attack_mode(model, settings.batch_norm):
            clean_logits = self.angular_margin.scaled(predict_logits(model, batch.x))
        x_adv = inner_maximisation(
            model,
            batch.x,
            lambda logits: kl_divergence(clean_logits, self.angular_margin.scaled(logits)),
            self.radius.threat_model,
            x_start=gaussian_start(batch.x),
            step_size=self.radius.step_size,
            num_steps=settings.num_steps,
            batch_norm=settings.batch_norm,
        )

        def outer_loss() -> MethodOutput:
            logits, logits_adv = model(batch.x), model(x_adv)
            return trades_loss(logits, logits_adv, batch.y, settings.beta, self.angular_margin)

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


def trades_loss(
    logits: Tensor,
    logits_adv: Tensor,
    y: Tensor,
    beta: float,
    angular_margin: AngularMargin = PLAIN,
) -> MethodOutput:
    """Return mean CE(logits, y) + beta * mean KL(logits || logits_adv): [B,K], [B,K], [B].

    With hypersphere embedding the cross-entropy has the margin, and both have the scale.
    """
    natural = cross_entropy(angular_margin.with_margin(logits, y), y).mean()
    scaled, scaled_adv = angular_margin.scaled(logits), angular_margin.scaled(logits_adv)
    divergence = kl_divergence(scaled, scaled_adv).mean()
    terms = {"cross_entropy": natural.item(), "kl_divergence": divergence.item()}
    return MethodOutput(natural + beta * divergence, terms)
