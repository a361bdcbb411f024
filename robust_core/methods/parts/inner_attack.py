"""The inner maximisation that adversarial training methods share."""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import automatic_step_size
from robust_core.attacks.projected_ascent import projected_ascent
from robust_core.gradients import LossFunction
from robust_core.methods.base import Onset
from robust_core.models.modes import evaluation_mode
from robust_core.threat_model import ThreatModel

InnerSteps = Annotated[
    int, Field(ge=1, le=1000, description="Gradient steps of the training attack.")
]
WarmupEpochs = Annotated[
    int,
    Field(
        ge=0,
        le=1000,
        description="Epochs over which epsilon is increased from 0 to its full value; helps if "
        "training with full epsilon does not learn at first.",
    ),
]
BatchNormMode = Annotated[
    Literal["eval", "train"],
    Field(
        description="Batch norm in the training attack: running statistics (eval), or statistics "
        "of the adversarial batch, which also update the running ones (train)."
    ),
]

START_DEVIATION = 0.001  # of the Gaussian start, in pixel units; TRADES, MART and SPAT as released


class EpsilonWarmup:
    """The threat model and the step of the training attack, which grow over the first epochs.

    In epoch e (from 0) both are min(e / warmup_epochs, 1) of their final size.
    """

    def __init__(
        self, threat_model: ThreatModel, step_size: float | None, warmup_epochs: int
    ) -> None:
        """Grow to threat model and step size (None: automatic) over `warmup_epochs` (0: at once).

        Before the first `on_epoch_start` they have their final size.
        """
        self.final_threat_model = threat_model
        self.final_step_size = step_size
        self.warmup_epochs = warmup_epochs
        self.share = 1.0

    def on_epoch_start(self, epoch: int) -> None:
        """Set the size for epoch `epoch`, from 0."""
        self.share = min(epoch / self.warmup_epochs, 1.0) if self.warmup_epochs else 1.0

    @staticmethod
    def onset(warmup_epochs: int) -> tuple[Onset, ...]:
        """Return when epsilon is the full one, unless it is so from the start."""
        full = Onset(
            "the training attack reaches full epsilon",
            f"warmup_epochs {warmup_epochs}",
            warmup_epochs,
        )
        return (full,) if warmup_epochs else ()

    @property
    def threat_model(self) -> ThreatModel:
        """The threat model of this epoch."""
        final = self.final_threat_model
        return ThreatModel(final.norm, self.share * final.epsilon)

    @property
    def step_size(self) -> float | None:
        """The step size of this epoch; None: automatic."""
        return None if self.final_step_size is None else self.share * self.final_step_size


def gaussian_start(x: Tensor) -> Tensor:
    """Return x + 0.001 N(0, 1): [B,C,H,W], for losses whose gradient at x itself is zero."""
    return x + START_DEVIATION * torch.randn_like(x)


def inner_maximisation(
    model: nn.Module,
    x: Tensor,
    loss_function: LossFunction,
    threat_model: ThreatModel,
    *,
    x_start: Tensor,
    step_size: float | None,
    num_steps: int,
    batch_norm: str,
) -> Tensor:
    """Return training images x_adv [B,C,H,W]: projected ascent on the model being trained.

    Args:
        model: the network, in train mode; left in train mode without parameter gradients.
        x: clean images [B,C,H,W] in [0, 1].
        loss_function: logits [B,K] -> loss [B], to be raised.
        threat_model: of the training attack.
        x_start: first iterate [B,C,H,W].
        step_size: pixel units; None: 2.5 * epsilon / num_steps.
        num_steps: gradient steps.
        batch_norm: "eval" or "train", see `BatchNormMode`.
    """
    if threat_model.epsilon == 0.0:
        return x  # nothing to search, as in the first epoch of a warm-up
    with attack_mode(model, batch_norm):
        return projected_ascent(
            model,
            x,
            loss_function,
            threat_model,
            x_start=x_start,
            step_size=automatic_step_size(step_size, threat_model.epsilon, num_steps),
            num_steps=num_steps,
        )


def attack_mode(model: nn.Module, batch_norm: str) -> AbstractContextManager[None]:
    """Return the context in which a training attack sees the model: eval mode or as it is."""
    return evaluation_mode(model) if batch_norm == "eval" else nullcontext()
