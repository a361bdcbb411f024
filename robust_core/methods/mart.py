"""MART: adversarial training that looks harder at images the network gets wrong."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import StepSize
from robust_core.losses import cross_entropy, kl_divergence
from robust_core.methods.base import METHODS, Batch, MethodOutput, Onset, TrainingMethod
from robust_core.methods.parts.angular_margin import (
    PLAIN,
    AngularMargin,
    HEMargin,
    HEScale,
    HypersphereEmbedding,
)
from robust_core.methods.parts.inner_attack import (
    BatchNormMode,
    EpsilonWarmup,
    InnerSteps,
    WarmupEpochs,
    gaussian_start,
    inner_maximisation,
)
from robust_core.methods.recipe import EMBEDDING, SGD, QuickRun, Recipe
from robust_core.threat_model import Epsilon, ThreatModelParameters

LARGEST_PROBABILITY = 1.0001  # in place of 1, as released: the boost is at most log 10^4


class MARTParameters(ThreatModelParameters):
    """Parameters of MART; defaults: ResNet-18 on CIFAR-10 of the released code."""

    epsilon: Epsilon = 0.031
    step_size: StepSize = 0.007
    num_steps: InnerSteps = 10
    beta: Annotated[
        float,
        Field(
            ge=0.0,
            le=100.0,
            description="Weight of the KL term (lambda in the paper): 5 for ResNet-18, 6 for WRN.",
        ),
    ] = 5.0
    warmup_epochs: WarmupEpochs = 0
    batch_norm: BatchNormMode = "eval"
    hypersphere_embedding: HypersphereEmbedding
    he_scale: HEScale
    he_margin: HEMargin


@METHODS.register("mart")
class MART(TrainingMethod):
    """Minimise BCE(f(x_adv), y) + beta * KL(f(x) || f(x_adv)) (1 - p_y(x)) at x_adv = PGD(x).

    BCE is a boosted cross-entropy, not the binary one: CE(f(x_adv), y) - log(1 - max_{k != y}
    p_k(x_adv)). The attack raises CE from x + 0.001 N(0, 1).

    Source: Wang et al., "Improving Adversarial Robustness Requires Revisiting Misclassified
    Examples", ICLR 2020, and the released code (its constant 1.0001 in place of the 1 in BCE).
    Differences: the released code's 1e-12 inside the logarithms is left out, they are taken of the
    logits; and so is the 1e-7 by which it keeps 1 - p_y above zero. Options: an epsilon that
    grows over the first epochs; hypersphere embedding, see `AngularMargin`, with the margin in the
    CE of the loss and the scaled cosines in all probabilities.
    """

    Parameters = MARTParameters
    recipe = Recipe(
        {
            "model": {"name": "resnet18"},
            "optimiser": {**SGD, "learning_rate": 0.01, "weight_decay": 3.5e-3},
            "schedule": {"name": "step", "milestones": [74, 89, 99], "factor": 0.1},
            "epochs": 120,
        },
        options={"he": EMBEDDING},
        quick=QuickRun(colour_epochs=3),
    )

    def __init__(self, parameters: MARTParameters) -> None:
        """Start at full epsilon."""
        super().__init__(parameters)
        self.warmup = EpsilonWarmup(
            parameters.threat_model, parameters.step_size, parameters.warmup_epochs
        )

    @classmethod
    def onsets(cls, settings: MARTParameters) -> tuple[Onset, ...]:
        """Return when epsilon is full."""
        return EpsilonWarmup.onset(settings.warmup_epochs)

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set epsilon of this epoch."""
        self.warmup.on_epoch_start(epoch)

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean BCE(f(x_adv), y) + beta * mean KL(f(x) || f(x_adv)) (1 - p_y(x))."""
        settings: MARTParameters = self.settings
        x_adv = inner_maximisation(
            model,
            batch.x,
            lambda logits: cross_entropy(self.angular_margin.scaled(logits), batch.y),
            self.warmup.threat_model,
            x_start=gaussian_start(batch.x),
            step_size=self.warmup.step_size,
            num_steps=settings.num_steps,
            batch_norm=settings.batch_norm,
        )
        logits, logits_adv = model(batch.x), model(x_adv)
        return mart_loss(logits, logits_adv, batch.y, settings.beta, self.angular_margin)


def mart_loss(
    logits: Tensor,
    logits_adv: Tensor,
    y: Tensor,
    beta: float,
    angular_margin: AngularMargin = PLAIN,
) -> MethodOutput:
    """Return MART's loss of clean and attacked logits [B,K], [B,K] and labels [B]."""
    boosted = boosted_cross_entropy(logits_adv, y, angular_margin).mean()
    scaled, scaled_adv = angular_margin.scaled(logits), angular_margin.scaled(logits_adv)
    missing = 1.0 - scaled.float().softmax(dim=1).gather(1, y[:, None]).squeeze(1)  # [B]
    divergence = (kl_divergence(scaled, scaled_adv) * missing).mean()
    terms = {"boosted_cross_entropy": boosted.item(), "weighted_kl_divergence": divergence.item()}
    return MethodOutput(boosted + beta * divergence, terms)


def boosted_cross_entropy(
    logits: Tensor, y: Tensor, angular_margin: AngularMargin = PLAIN
) -> Tensor:
    """Return -log p_y - log(1.0001 - max_{k != y} p_k): [N,K], [N] -> float32 [N], in nats.

    With hypersphere embedding -log p_y has the margin, and both have the scale.
    """
    others = angular_margin.scaled(logits).float().softmax(dim=1).scatter(1, y[:, None], 0.0)
    best_wrong = others.amax(dim=1)
    ordinary = cross_entropy(angular_margin.with_margin(logits, y), y)
    return ordinary - (LARGEST_PROBABILITY - best_wrong).log()
