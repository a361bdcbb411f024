"""Free adversarial training: one backward pass moves the weights and the perturbation."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.losses import cross_entropy
from robust_core.methods.base import METHODS, Batch, MethodOutput, Onset, TrainingMethod
from robust_core.methods.parts.angular_margin import HEMargin, HEScale, HypersphereEmbedding
from robust_core.methods.parts.inner_attack import EpsilonWarmup, WarmupEpochs
from robust_core.methods.recipe import EMBEDDING, SGD, QuickRun, Recipe
from robust_core.parameters import PIXEL_UNIT
from robust_core.threat_model import ThreatModelParameters


class FreeATParameters(ThreatModelParameters):
    """Parameters of Free-AT; defaults: CIFAR-10 of the port, with this package's own 8/255."""

    num_replays: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="Optimiser steps per batch (m, replays). An epoch costs as much as m "
            "epochs of standard training.",
        ),
    ] = 8
    step_size: Annotated[
        float | None,
        Field(
            ge=0.0,
            le=100.0,
            description="Step size of the perturbation in pixel units ([0, 1]); automatic: "
            "epsilon.",
            json_schema_extra=PIXEL_UNIT,
        ),
    ] = None
    warmup_epochs: WarmupEpochs = 0
    hypersphere_embedding: HypersphereEmbedding
    he_scale: HEScale
    he_margin: HEMargin


@METHODS.register("free_at")
class FreeAT(TrainingMethod):
    """Minimise CE(f(x + delta), y), with delta updated from the same backward passes.

    Every batch is replayed m times. Each replay takes one backward pass, which gives the gradients
    of the weights and of the image:

        delta <- project(x + delta + epsilon * sign(gradient of the image)) - x,   then w is stepped

    delta starts at zero, once in a training; the n-th image of a batch goes on with the delta that
    the n-th image of the batch before has left, clipped to the image box. A smaller last batch uses
    and moves the first rows only.

    An epoch is one pass over the data, so m optimiser steps on each batch; the papers' "epochs"
    count replays, so their 80 are 10 here with m = 8, and the learning rate schedule runs over
    those 10.

    Source: Shafahi et al., "Adversarial Training for Free!", NeurIPS 2019, arXiv:1904.12843,
    algorithm 1, and its port in the code of Wong, Rice and Kolter (arXiv:2001.03994).
    Differences: the port clips x + delta to the image box after an update only, so the first replay
    of a batch sees pixels outside of it; here x + delta always lies in the box. A step size other
    than epsilon, L2 and an epsilon that grows over the first epochs are offered.
    Option: hypersphere embedding, see `AngularMargin`. The one backward pass is that of the loss
    with the margin, and delta climbs as without: the margin of the label changes the length of an
    image's gradient, sum_{j != y} p_j (grad z_j - grad z_y), by a positive factor only.
    """

    Parameters = FreeATParameters
    recipe = Recipe(
        {
            "model": {"name": "preact_resnet18"},
            "optimiser": {**SGD, "learning_rate": 0.04},
            "schedule": {"name": "cyclic"},
            "epochs": 10,
        },
        options={"he": EMBEDDING},
        quick=QuickRun({"num_replays": 4}),
    )

    def __init__(self, parameters: FreeATParameters) -> None:
        """Start without a perturbation."""
        super().__init__(parameters)
        self.num_replays = parameters.num_replays
        self.delta: Tensor | None = None  # [B,C,H,W] with the largest B so far
        step_size = parameters.epsilon if parameters.step_size is None else parameters.step_size
        self.warmup = EpsilonWarmup(parameters.threat_model, step_size, parameters.warmup_epochs)
        self._row = 0  # of delta; above 0 in the later pieces of an accumulated batch
        self._attacked: tuple[Tensor, Tensor] | None = None  # x and x_adv of the pass under way

    @classmethod
    def onsets(cls, settings: FreeATParameters) -> tuple[Onset, ...]:
        """Return when epsilon is full."""
        return EpsilonWarmup.onset(settings.warmup_epochs)

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set epsilon of this epoch, and the step with it."""
        self.warmup.on_epoch_start(epoch)

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE(f(x + delta), y)."""
        x = batch.x
        x_adv = self.warmup.threat_model.project(x + self._rows(x), x).requires_grad_(True)
        self._attacked = x, x_adv
        logits = self.angular_margin.with_margin(model(x_adv), batch.y)
        loss = cross_entropy(logits, batch.y).mean()
        return MethodOutput(loss, {"adversarial_cross_entropy": loss.item()})

    @torch.no_grad()
    def after_backward(self, model: nn.Module) -> None:
        """Move delta along the input gradient that the backward pass has left."""
        assert self._attacked is not None, "a training_loss goes before"
        x, x_adv = self._attacked
        threat_model, step_size = self.warmup.threat_model, self.warmup.step_size
        assert x_adv.grad is not None, "a backward pass goes before"
        assert step_size is not None, "it is given above"
        direction = threat_model.ascent_direction(x_adv.grad)
        moved = threat_model.project(x_adv + step_size * direction, x)
        self._rows(x).copy_(moved - x)
        self._row += len(x)
        self._attacked = None

    def after_step(self, model: nn.Module) -> None:
        """Begin at the first row of delta again."""
        super().after_step(model)
        self._row = 0

    def own_state(self) -> Tensor | None:
        """Return the perturbation, which belongs to the part of the batches that a process has."""
        return self.delta

    def set_own_state(self, state: Tensor | None) -> None:
        """Go on with a saved perturbation, or without one."""
        self.delta = state

    def _rows(self, x: Tensor) -> Tensor:
        """Return the rows of delta that belong to the images x [B,C,H,W], a view."""
        end = self._row + len(x)
        if self.delta is None:
            self.delta = torch.zeros_like(x[:0])
        if len(self.delta) < end:
            missing = x.new_zeros((end - len(self.delta), *x.shape[1:]))
            self.delta = torch.cat([self.delta, missing])
        return self.delta[self._row : end]
