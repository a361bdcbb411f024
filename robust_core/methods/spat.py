"""SPAT: self-paced hard-class-pair adversarial training, on the cosines of the network."""

from functools import partial
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import StepSize
from robust_core.gradients import predict_logits
from robust_core.losses import (
    cross_entropy,
    divergence_terms,
    self_paced_floor,
    self_paced_weights,
)
from robust_core.methods.base import METHODS, Batch, MethodOutput, Onset, TrainingMethod
from robust_core.methods.parts.inner_attack import (
    EpsilonWarmup,
    InnerSteps,
    WarmupEpochs,
    attack_mode,
    gaussian_start,
    inner_maximisation,
)
from robust_core.methods.recipe import SGD, UNCHANGED, Departure, QuickRun, Recipe
from robust_core.models.base import Classifier
from robust_core.models.heads import cosine_head, with_raw_features, with_scaled_logits
from robust_core.registry import unknown_name
from robust_core.threat_model import Epsilon, ThreatModelParameters


class SPATParameters(ThreatModelParameters):
    """Parameters of SPAT; defaults: WRN-34-10 on CIFAR-10, the last release of its code."""

    epsilon: Epsilon = 0.031
    step_size: StepSize = 0.007
    num_steps: InnerSteps = 10
    beta: Annotated[
        float, Field(ge=0.0, le=100.0, description="Weight of the pair-consistency term.")
    ] = 6.0
    scale: Annotated[
        float,
        Field(
            gt=0.0,
            le=1000.0,
            description="Scale of the cosines in both losses (s); more classes need a larger one.",
        ),
    ] = 8.0
    margin: Annotated[
        float, Field(ge=0.0, le=1.0, description="Offset of the self-paced weights (m).")
    ] = 0.2
    offset: Annotated[
        float,
        Field(
            ge=0.0,
            le=1000.0,
            description="Weight of the plain KL divergence in the pair-consistency term (n).",
        ),
    ] = 0.2
    warmup_epochs: WarmupEpochs = 0


def with_cosine_head(model: dict[str, Any], data: str, budget: str) -> dict[str, Any]:
    """Return `model` with a cosine head."""
    return {**model, "parameters": {**model.get("parameters", {}), "head": "cosine"}}


@METHODS.register("spat")
class SPAT(TrainingMethod):
    """Minimise L_acc(f(x), y) + beta * L_rob(f(x), f(x_adv)), where x_adv maximises that L_rob.

    f returns cosines z_k (plus a bias); L_acc is `self_paced_loss`, L_rob `pair_consistency`. The
    attack sees no label, starts at x + 0.001 N(0, 1), because L_rob has no gradient at x, and sees
    batch norm in eval mode; the clean and then the attacked batch go forward in train mode, each on
    its own.

    Inferences: "scaled" returns scale * z. What the paper attacks, cross-entropy on z itself, is
    nearly flat, so an attack on the scaled logits is a stronger one. "raw_features" leaves the
    features unnormalised, as the released code does when it measures natural accuracy (only).

    Source: Hou, Han and Li, "Improving Adversarial Robustness with Self-Paced Hard-Class Pair
    Reweighting", AAAI 2023, arXiv:2210.15068; the formulas are those of the released code.
    Differences: natural and robust accuracy are measured on the same cosines; every network here
    maps pixels to [-1, 1], while the released code feeds them in [0, 1] without a normalisation.
    Option: an epsilon that grows over the first epochs.
    """

    Parameters = SPATParameters
    recipe = Recipe(
        {
            "model": {
                "name": "wide_resnet",
                "parameters": {"depth": 34, "widen_factor": 10, "head": "cosine"},
            },
            "optimiser": {**SGD, "weight_decay": 2e-4},
            "schedule": {"name": "step", "milestones": [74, 89], "factor": 0.1},
            "epochs": 100,
        },
        # our own, after AWP's recipe of SVHN: nothing is published
        elsewhere={
            "svhn": Departure(
                {
                    "optimiser": {**SGD, "learning_rate": 0.01, "weight_decay": 2e-4},
                    **UNCHANGED,
                },
                {"step_size": 1 / 255},
            )
        },
        quick=QuickRun(colour_epochs=3),
        network=with_cosine_head,
    )

    def __init__(self, parameters: SPATParameters) -> None:
        """Start at full epsilon."""
        super().__init__(parameters)
        self.warmup = EpsilonWarmup(
            parameters.threat_model, parameters.step_size, parameters.warmup_epochs
        )

    def attach(self, model: Classifier) -> None:
        """Check that the network has a cosine head."""
        cosine_head(model, "spat")

    @classmethod
    def onsets(cls, settings: SPATParameters) -> tuple[Onset, ...]:
        """Return when epsilon is full."""
        return EpsilonWarmup.onset(settings.warmup_epochs)

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set epsilon of this epoch."""
        self.warmup.on_epoch_start(epoch)

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean L_acc(f(x), y) + beta * mean L_rob(f(x), f(x_adv))."""
        settings: SPATParameters = self.settings
        with attack_mode(model, "eval"):
            clean_logits = predict_logits(model, batch.x)
        consistency = partial(pair_consistency, scale=settings.scale, offset=settings.offset)
        x_adv = inner_maximisation(
            model,
            batch.x,
            partial(consistency, clean_logits),
            self.warmup.threat_model,
            x_start=gaussian_start(batch.x),
            step_size=self.warmup.step_size,
            num_steps=settings.num_steps,
            batch_norm="eval",
        )
        logits, logits_adv = model(batch.x), model(x_adv)
        accuracy = self_paced_loss(logits, batch.y, settings.scale, settings.margin).mean()
        robust = consistency(logits, logits_adv).mean()
        terms = {"self_paced_loss": accuracy.item(), "pair_consistency": robust.item()}
        return MethodOutput(accuracy + settings.beta * robust, terms)

    def loss_floors(self, num_classes: int) -> dict[str, float]:
        """Return that of the self-paced loss."""
        settings: SPATParameters = self.settings
        return {"self_paced_loss": self_paced_floor(num_classes, settings.scale, settings.margin)}

    def inferences(self, model: Classifier) -> tuple[str, ...]:
        """Return "scaled" and "raw_features"."""
        return ("scaled", "raw_features")

    def inference(self, name: str, model: Classifier) -> Classifier:
        """Return the network used as `name` says."""
        settings: SPATParameters = self.settings
        match name:
            case "scaled":
                return with_scaled_logits(model, settings.scale)
            case "raw_features":
                return with_raw_features(model)
            case _:
                raise unknown_name("inference", name, list(self.inferences(model)))


def self_paced_loss(logits: Tensor, y: Tensor, scale: float, margin: float) -> Tensor:
    """Return L_acc = CE(u, y): cosines [N,K], labels [N] -> float32 [N], in nats.

    u_k = scale alpha_k z_k, with alpha_y = 1 + margin - z_y and alpha_k = z_k + margin for the
    other classes. The gradient goes through alpha, too: the loss is lowest at
    z_y = (1 + margin) / 2 and z_k = -margin / 2, not at z_y = 1; see `self_paced_floor`.
    """
    logits = logits.float()
    return cross_entropy(scale * self_paced_weights(logits, y, margin) * logits, y)


def pair_consistency(logits: Tensor, logits_adv: Tensor, scale: float, offset: float) -> Tensor:
    """Return L_rob = sum_k t_k (t_k + offset): cosines [N,K], [N,K] -> float32 [N].

    t_k = p_k (log p_k - log q_k), with p = softmax(scale z) and q = softmax(scale z_adv), so this
    is sum_k t_k^2 + offset KL(p || q): zero where p = q, else positive. p carries a gradient.
    """
    summand = divergence_terms(scale * logits.float(), scale * logits_adv.float())
    return (summand * (summand + offset)).sum(dim=1)
