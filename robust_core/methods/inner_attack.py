"""The inner maximisation that adversarial training methods share."""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import automatic_step_size
from robust_core.attacks.projected_ascent import projected_ascent
from robust_core.gradients import LossFunction, evaluation_mode
from robust_core.threat_model import ThreatModel

InnerSteps = Annotated[
    int, Field(ge=1, le=1000, description="Gradient steps of the training attack.")
]
WarmupEpochs = Annotated[
    int,
    Field(
        ge=0,
        le=1000,
        description="Epochs over which the radius grows from 0 to epsilon; helps where training "
        "at the full radius learns nothing at first.",
    ),
]
BatchNormMode = Annotated[
    Literal["eval", "train"],
    Field(
        description="Batch norm in the training attack: running statistics (eval), or those of the "
        "attacked batch, which also update the running ones (train)."
    ),
]


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
        threat_model: ball of the training attack.
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
