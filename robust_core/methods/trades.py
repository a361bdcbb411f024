"""TRADES: clean cross-entropy plus the divergence between clean and attacked output."""

from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from robust_core.attacks.base import StepSize
from robust_core.gradients import predict_logits
from robust_core.losses import cross_entropy, kl_divergence
from robust_core.methods.base import METHODS, Batch, MethodOutput, TrainingMethod
from robust_core.methods.inner_attack import (
    BatchNormMode,
    InnerSteps,
    attack_mode,
    inner_maximisation,
)
from robust_core.threat_model import BallParameters, Epsilon

START_DEVIATION = 0.001  # standard deviation of the Gaussian start, as released


class TRADESParameters(BallParameters):
    """Parameters of TRADES; defaults: CIFAR-10 of the released code."""

    epsilon: Epsilon = 0.031
    step_size: StepSize = 0.007
    num_steps: InnerSteps = 10
    beta: Annotated[
        float,
        Field(ge=0.0, le=100.0, description="Weight of the KL term (1/lambda in the paper)."),
    ] = 6.0
    batch_norm: BatchNormMode = "eval"


@METHODS.register("trades")
class TRADES(TrainingMethod):
    """Minimise CE(f(x), y) + beta * KL(f(x) || f(x_adv)), where x_adv maximises that KL.

    The attack uses no label and starts at x + 0.001 N(0, 1), because the KL has no gradient at x.

    Source: Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", ICML
    2019, arXiv:1901.08573, eq. 5 and algorithm 1. Difference: the released code sends the clean
    batch forward a second time in train mode; here it goes forward once, together with the
    attacked batch's own pass, so batch norm sees each batch once.
    """

    Parameters = TRADESParameters

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE(f(x), y) + beta * mean KL(f(x) || f(x_adv))."""
        settings: TRADESParameters = self.settings
        with attack_mode(model, settings.batch_norm):
            clean_logits = predict_logits(model, batch.x)
        x_adv = inner_maximisation(
            model,
            batch.x,
            partial(kl_divergence, clean_logits),
            settings.threat_model,
            x_start=batch.x + START_DEVIATION * torch.randn_like(batch.x),
            step_size=settings.step_size,
            num_steps=settings.num_steps,
            batch_norm=settings.batch_norm,
        )
        return trades_loss(model(batch.x), model(x_adv), batch.y, settings.beta)


def trades_loss(
    logits: torch.Tensor, logits_adv: torch.Tensor, y: torch.Tensor, beta: float
) -> MethodOutput:
    """Return mean CE(logits, y) + beta * mean KL(logits || logits_adv): [B,K], [B,K], [B]."""
    natural = cross_entropy(logits, y).mean()
    divergence = kl_divergence(logits, logits_adv).mean()
    terms = {"cross_entropy": natural.item(), "kl_divergence": divergence.item()}
    return MethodOutput(natural + beta * divergence, terms)
