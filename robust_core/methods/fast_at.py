"""Fast adversarial training: FGSM from a random start."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.pgd import PGD
from robust_core.gradients import predict_logits
from robust_core.losses import accuracy_count, cross_entropy
from robust_core.methods.base import METHODS, Batch, MethodOutput, TrainingMethod
from robust_core.methods.parts.angular_margin import HEMargin, HEScale, HypersphereEmbedding
from robust_core.methods.parts.inner_attack import BatchNormMode, attack_mode, inner_maximisation
from robust_core.methods.recipe import EMBEDDING, SGD, Recipe
from robust_core.parameters import PIXEL_UNIT
from robust_core.threat_model import ThreatModelParameters
from robust_core.units import percent


class FastATParameters(ThreatModelParameters):
    """Parameters of FGSM-RS training; defaults: CIFAR-10 of the released code."""

    step_size: Annotated[
        float | None,
        Field(
            ge=0.0,
            le=2.0,
            description="Step size in pixel units ([0, 1]); automatic: 1.25 * epsilon.",
            json_schema_extra=PIXEL_UNIT,
        ),
    ] = None
    largest_drop: Annotated[
        float | None,
        Field(
            ge=0.0,
            le=1.0,
            description="Stop training if accuracy under PGD-5 on the first batch of an epoch "
            "drops by more than this from one epoch to the next (catastrophic overfitting); none: "
            "never stop.",
        ),
    ] = 0.2
    batch_norm: BatchNormMode = "train"
    hypersphere_embedding: HypersphereEmbedding
    he_scale: HEScale
    he_margin: HEMargin


@METHODS.register("fast_at")
class FastAT(TrainingMethod):
    """Minimise CE(f(x_adv), y) at one signed step of 1.25 epsilon from a uniform start.

    Training ends, and the last epoch is discarded, when the model starts to fit the one-step
    attack only: accuracy under PGD-5 on the epoch's first batch drops by more than 0.2.

    Source: Wong, Rice and Kolter, "Fast is better than free: Revisiting adversarial training",
    ICLR 2020, arXiv:2001.03994, algorithm 3 and the released early stop. Difference: the check
    looks at the model in eval mode, as it would be deployed. Option: hypersphere embedding, see
    `AngularMargin`; the attack of the check sees the scaled cosines, too.
    """

    Parameters = FastATParameters
    recipe = Recipe(
        {
            "model": {"name": "preact_resnet18"},
            "optimiser": {**SGD, "learning_rate": 0.2},
            "schedule": {"name": "cyclic"},
            "epochs": 15,
        },
        options={"he": EMBEDDING},
    )
    previous_accuracy: Tensor

    def __init__(self, parameters: FastATParameters) -> None:
        """Start without a previous epoch; the last accuracy travels in the state dict."""
        super().__init__(parameters)
        self.register_buffer("previous_accuracy", torch.zeros(()))
        self._first_batch: Batch | None = None

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Forget the first batch of the epoch before."""
        self._first_batch = None

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE(f(x_adv), y)."""
        if self._first_batch is None:
            self._first_batch = batch
        settings: FastATParameters = self.settings
        threat_model = settings.threat_model
        x_adv = inner_maximisation(
            model,
            batch.x,
            lambda logits: cross_entropy(self.angular_margin.scaled(logits), batch.y),
            threat_model,
            x_start=threat_model.random_start(batch.x),
            step_size=1.25 * settings.epsilon if settings.step_size is None else settings.step_size,
            num_steps=1,
            batch_norm=settings.batch_norm,
        )
        logits = self.angular_margin.with_margin(model(x_adv), batch.y)
        loss = cross_entropy(logits, batch.y).mean()
        return MethodOutput(loss, {"adversarial_cross_entropy": loss.item()})

    def reason_to_stop(self, model: nn.Module) -> str | None:
        """Return a sentence when accuracy under PGD-5 fell by more than `largest_drop`."""
        settings: FastATParameters = self.settings
        if settings.largest_drop is None or self._first_batch is None:
            return None
        x, y = self._first_batch.x, self._first_batch.y
        attack = PGD(
            norm=settings.norm,
            epsilon=settings.epsilon,
            step_size=settings.epsilon / 4,
            num_steps=5,
        )
        with attack_mode(model, "eval"):
            x_adv = attack(self.angular_margin.attacked(model), x, y)
            accuracy = accuracy_count(predict_logits(model, x_adv), y) / len(x)
        before = self.previous_accuracy.item()
        self.previous_accuracy.fill_(accuracy)
        if before - accuracy <= settings.largest_drop:
            return None
        return (
            f"catastrophic overfitting: accuracy under PGD-5 on the epoch's first batch fell from "
            f"{percent(before)} to {percent(accuracy)}"
        )
