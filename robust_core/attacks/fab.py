"""Fast adaptive boundary attack: the nearest adversarial image by linear projections."""

from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.apgd import NumTargets, likely_wrong_classes
from robust_core.attacks.base import (
    ATTACKS,
    Attack,
    AttackStep,
    EotSamples,
    NumRestarts,
    NumSteps,
    OnStep,
)
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.gradients import class_difference_gradients, predict_logits, search_logits
from robust_core.inference.wrappers import averaged
from robust_core.threat_model import Norm, ThreatModel


@ATTACKS.register("fab")
class FAB(Attack):
    """FAB: project onto the linearised decision boundary, biased towards the clean image.

    Each step projects the iterate and the clean image onto the hyperplane where the linearised
    logit of another class equals that of the label, inside the box [0, 1]; goes past it by
    `overshoot`; mixes the two; and, once adversarial, steps back towards the clean image.

    With `targeted` (FAB-T) the other class is one of the `num_targets` most likely ones, tried in
    turn; without, it is at each step the class whose boundary is nearest, which takes the gradients
    of all K classes.

    A minimum-norm attack: it returns the nearest adversarial image it met, the clean image where
    it met none; `epsilon` bounds random starts and, with `stop_at_epsilon`, ends the search.
    With `eot_samples` the model is the mean of so many passes, in float32.

    Source: Croce and Hein, "Minimally Distorted Adversarial Examples with a Fast Adaptive Boundary
    Attack", ICML 2020, arXiv:1907.02044, algorithm 1. Difference: the final search along the
    segment is left out, as in the authors' AutoAttack.
    """

    title: ClassVar[str] = "FAB"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("FAB", 120),)

    minimum_norm: ClassVar[bool] = True
    searches_low_precision: ClassVar[bool] = True

    targeted: Annotated[
        bool,
        Field(description="FAB-T: one target class after another, the most likely ones first."),
    ] = True
    num_steps: NumSteps = 100
    num_restarts: NumRestarts = 1
    num_targets: NumTargets = 9
    largest_bias: Annotated[
        float,
        Field(
            ge=0.0,
            le=1.0,
            description="Maximum weight of the clean image in the projection (alpha_max).",
        ),
    ] = 0.1
    overshoot: Annotated[
        float, Field(ge=1.0, le=2.0, description="Extrapolation past the decision boundary (eta).")
    ] = 1.05
    backward_step: Annotated[
        float,
        Field(
            gt=0.0,
            le=1.0,
            description="Share of the perturbation kept in the backward step (beta).",
        ),
    ] = 0.9
    stop_at_epsilon: Annotated[
        bool, Field(description="Stop an image at its first adversarial example within epsilon.")
    ] = False
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Run every target class and restart; keep each image's nearest result."""
        model = averaged(model, self.eot_samples)
        generator = torch.Generator().manual_seed(self.seed)
        logits = predict_logits(model, x)
        criterion = Criterion("margin", y, target)
        ranked = likely_wrong_classes(logits, y)
        steered = self.targeted and target is None
        num_targets = min(self.num_targets, ranked.shape[1]) if steered else 1
        best = x.clone()
        best_distance = torch.where(criterion.is_met(logits), 0.0, torch.inf)
        for number in range(self.num_restarts * num_targets):
            limit = self.epsilon if self.stop_at_epsilon else 0.0
            index = (best_distance > limit).nonzero().squeeze(1)
            if len(index) == 0:
                break
            current = criterion.select(index)
            if steered:
                current = replace(current, towards=ranked[index, number % num_targets])
            start = x[index]
            if number >= num_targets:  # the first pass over the targets begins at the image
                start = 0.5 * (self.threat_model.random_start(start, generator) + start)
            x_adv, distance = self._search(model, x[index], start, current, on_step, number)
            better = distance < best_distance[index]
            best[index[better]] = x_adv[better]
            best_distance[index[better]] = distance[better]
        return best

    def _search(
        self,
        model: nn.Module,
        x: Tensor,
        x_start: Tensor,
        criterion: Criterion,
        on_step: OnStep | None,
        restart: int,
    ) -> tuple[Tensor, Tensor]:
        """Return the nearest adversarial images met [M,C,H,W] and their distances [M] or inf."""
        threat_model = self.threat_model
        nearest, distance = x.clone(), torch.full((len(x),), torch.inf, device=x.device)
        index, x_adv = torch.arange(len(x), device=x.device), x_start
        for step in range(self.num_steps):
            towards = criterion.towards if criterion.target is None else criterion.target
            at = class_difference_gradients(model, x_adv, criterion.y, towards)
            if on_step is not None:
                on_step(AttackStep(step, x_adv, criterion(at.logits), at.logits, restart))
            w, b = nearest_hyperplane(at.difference, at.gradient, x_adv, self.norm)
            from_here = hyperplane_step(x_adv, w, b, self.norm)
            from_clean = hyperplane_step(x, w, b, self.norm)
            bias = self._bias(from_here, from_clean, threat_model)
            x_adv = (1 - bias) * (x_adv + self.overshoot * from_here)
            x_adv = (x_adv + bias * (x + self.overshoot * from_clean)).clamp(0.0, 1.0)
            fooled = criterion.fooled(model, x_adv, search_logits(model, x_adv))
            length = threat_model.distance(x_adv, x)
            nearer = fooled & (length < distance[index])
            nearest[index[nearer]] = x_adv[nearer]
            distance[index[nearer]] = length[nearer]
            back = x + self.backward_step * (x_adv - x)
            x_adv = torch.where(fooled.view(-1, 1, 1, 1), back, x_adv)
            if self.stop_at_epsilon:
                keep = distance[index] > self.epsilon
                index, x, x_adv, criterion = (
                    index[keep],
                    x[keep],
                    x_adv[keep],
                    criterion.select(keep),
                )
                if len(index) == 0:
                    break
        if on_step is not None and len(index):
            logits = predict_logits(model, nearest[index])
            steps = self.num_steps
            on_step(AttackStep(steps, nearest[index], criterion(logits), logits, restart))
        return nearest, distance

    def _bias(self, from_here: Tensor, from_clean: Tensor, threat_model: ThreatModel) -> Tensor:
        zero = torch.zeros_like(from_here)
        here = threat_model.distance(from_here, zero).clamp_min(1e-8)
        clean = threat_model.distance(from_clean, zero).clamp_min(1e-8)
        return (here / (here + clean)).clamp_max(self.largest_bias).view(-1, 1, 1, 1)

    def passes(self) -> int:
        """Return num_steps * num_restarts * eot_samples, times the number of targets."""
        rounds = self.num_restarts * (self.num_targets if self.targeted else 1)
        return self.num_steps * rounds * self.eot_samples


def nearest_hyperplane(
    difference: Tensor, gradient: Tensor, x: Tensor, norm: Norm
) -> tuple[Tensor, Tensor]:
    """Choose for each image the linearised class boundary that is nearest in the dual norm.

    Args:
        difference: z_k - z_y for M candidate classes [N,M].
        gradient: its gradients at x [N,M,C,H,W].
        x: where they were taken [N,C,H,W].
        norm: norm of distances; the gradient is measured in its dual.

    Returns:
        w [N,C,H,W] and b [N]: the hyperplane {z : <w, z> = b}.
    """
    order = 1 if norm is Norm.LINF else 2
    dual = gradient.flatten(2).norm(p=order, dim=2)  # [N, M]
    choice = (difference.abs() / (dual + 1e-12)).argmin(dim=1)
    rows = torch.arange(len(x), device=x.device)
    w = gradient[rows, choice]
    b = (w * x).flatten(1).sum(dim=1) - difference[rows, choice]
    return w, b


def hyperplane_step(x: Tensor, w: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """Return the shortest delta with <w, x + delta> = b and x + delta in [0, 1]: [N,C,H,W].

    Both norms have delta_i = direction_i * min(t * speed_i, room_i), where room_i is the way to the
    wall of the box, speed_i is 1 for Linf and |w_i| for L2, and t is the root of the increasing,
    piecewise linear function sum_i |w_i| min(t * speed_i, room_i) = |b - <w, x>|. Where the box
    does not reach the hyperplane, delta goes to its walls.

    Args:
        x: points [N,C,H,W] in [0, 1].
        w: normals [N,C,H,W].
        b: offsets [N].
        norm: norm of delta.
    """
    shape, x, w = x.shape, x.flatten(1), w.flatten(1)
    gap = b - (w * x).sum(dim=1)  # [N]
    direction = w.sign() * gap.sign()[:, None]
    weight = w.abs()
    speed = (weight > 0).to(x) if norm is Norm.LINF else weight
    room = torch.where(direction > 0, 1 - x, x) * (direction != 0)
    breakpoint_ = torch.where(speed > 0, room / speed.clamp_min(1e-30), 0.0)
    ordered, order = breakpoint_.sort(dim=1)
    full = (weight * room).gather(1, order)  # what a pixel gives once it is at its wall
    slope = (weight * speed).gather(1, order)
    given = full.cumsum(dim=1) - full
    remaining = slope.flip(1).cumsum(dim=1).flip(1)
    reach = given + ordered * remaining  # increasing; the sum at t = breakpoint
    k = torch.searchsorted(reach, gap.abs()[:, None]).clamp_max(reach.shape[1] - 1)
    missing = gap.abs()[:, None] - given.gather(1, k)
    t = missing / remaining.gather(1, k).clamp_min(1e-30)
    return (direction * torch.minimum(t * speed, room)).view(shape)
