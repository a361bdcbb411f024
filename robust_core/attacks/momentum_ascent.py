"""Projected ascent with momentum and steps that shrink, in which every iterate counts."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from robust_core.attacks.apgd import likely_wrong_classes
from robust_core.attacks.base import AttackStep
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.survivors import Survivors
from robust_core.gradients import finite, input_gradient

MOMENTUM = 0.75  # share of the buffer that each step keeps
Start = Literal["uniform", "corner", "best"]


@dataclass(frozen=True)
class Ascent:
    """One search by gradients.

    Attributes:
        loss: "margin", "cross_entropy" or "dlr", see `Criterion`.
        num_steps: gradient steps.
        start: a uniform point within the threat model, a corner of it (L2: a point of the sphere),
            or each image's best iterate so far.
        first_step: length of the first step as a share of epsilon. last_step: of the last one.
        scale: what the logits are multiplied with before the loss.
        num_neighbours: points near the iterate whose gradients are averaged; 0: the iterate itself.
        rank: untargeted attacks are steered at the class of this rank among the wrong ones, by the
            logits at the best iterate; None: at none.
    """

    loss: str
    num_steps: int
    start: Start = "uniform"
    first_step: float = 2.0
    last_step: float = 0.1
    scale: float = 1.0
    num_neighbours: int = 0
    rank: int | None = None

    def step_size(self, step: int) -> float:
        """Return the length of a step as a share of epsilon: cosine from the first to the last."""
        done = min(step / max(self.num_steps - 1, 1), 1.0)
        left = (1.0 + math.cos(math.pi * done)) / 2.0
        return self.last_step + (self.first_step - self.last_step) * left

    @property
    def passes(self) -> int:
        """Iterates of an image, at most; one more pass finds the class of a rank."""
        return (self.num_steps + 1) * max(self.num_neighbours, 1) + (self.rank is not None)


def momentum_ascent(
    survivors: Survivors, source: nn.Module, ascent: Ascent, generator: torch.Generator
) -> None:
    """Search for the images that are not fooled yet, following the gradients of `source`.

    m <- 0.75 m + g / mean |g|, then x <- project(x + step * direction(m)); the direction is the
    sign (Linf) or the normalised buffer (L2). An image leaves at its first adversarial iterate.

    Args:
        survivors: the images; the model that decides.
        source: the attacked model, or one that has another backward pass or is near it.
        ascent: how to search.
        generator: of the start and of the neighbours.

    Raises:
        TimeUp: the survivors' time limit is reached.
    """
    index, threat_model = survivors.index, survivors.threat_model
    x, criterion = survivors.x[index], _goal(survivors, index, ascent)
    x_adv = _start(survivors, index, ascent.start, generator)
    velocity, number = torch.zeros_like(x), survivors.new_search()
    for step in range(ascent.num_steps + 1):
        survivors.check_time()
        length = threat_model.epsilon * ascent.step_size(step)
        near = _neighbours(survivors, index, x_adv, length, ascent.num_neighbours, generator)
        gradient, seen, logits = _consult(survivors, source, criterion, ascent.scale, near)
        survivors.report(AttackStep(step, seen, criterion(logits), logits, number))
        keep = ~survivors.update(index, seen, logits)
        if not bool(keep.all()):
            index, x, criterion, x_adv = index[keep], x[keep], criterion.select(keep), x_adv[keep]
            velocity, gradient = velocity[keep], gradient[keep]
        if len(index) == 0 or step == ascent.num_steps:
            return
        velocity = MOMENTUM * velocity + _normalised(gradient)
        x_adv = threat_model.project(x_adv + length * threat_model.ascent_direction(velocity), x)


def _goal(survivors: Survivors, index: Tensor, ascent: Ascent) -> Criterion:
    criterion = replace(survivors.criterion.select(index), loss=ascent.loss)
    if ascent.rank is None or criterion.target is not None:
        return criterion
    ranked = likely_wrong_classes(survivors.answer(survivors.best[index]), criterion.y)
    return replace(criterion, towards=ranked[:, ascent.rank % ranked.shape[1]])


def _start(survivors: Survivors, index: Tensor, start: Start, generator: torch.Generator) -> Tensor:
    x, threat_model = survivors.x[index], survivors.threat_model
    match start:
        case "best":
            return survivors.best[index]
        case "uniform":
            return threat_model.random_start(x, generator)
        case "corner":
            noise = torch.randn(x.shape, generator=generator).to(x)
            step = threat_model.epsilon * threat_model.ascent_direction(noise)
            return threat_model.project(x + step, x)


def _neighbours(
    survivors: Survivors,
    index: Tensor,
    x_adv: Tensor,
    length: float,
    number: int,
    generator: torch.Generator,
) -> Tensor:
    """Return points of the threat model about `length` or less from the iterates: [P,M,C,H,W]."""
    if number == 0:
        return x_adv[None]
    threat_model = survivors.threat_model
    around = replace(threat_model, epsilon=min(length, threat_model.epsilon))
    x = survivors.x[index]
    near = [threat_model.project(around.random_start(x_adv, generator), x) for _ in range(number)]
    return torch.stack(near)


def _consult(
    survivors: Survivors, source: nn.Module, criterion: Criterion, scale: float, near: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean gradient of P points each [M,C,H,W], the best point and its logits [M,K]."""
    num, (points, criteria) = len(near), (near.flatten(0, 1), _repeated(criterion, len(near)))

    def loss(logits: Tensor) -> Tensor:
        return criteria(scale * logits)

    at = input_gradient(source, points, loss, eot_samples=survivors.eot_samples)
    logits = at.logits if source is survivors.model else survivors.answer(points)
    if num == 1:
        return at.gradient, points, logits
    margins = replace(criteria, loss="margin", towards=None)(logits).view(num, -1)
    chosen = margins.argmax(dim=0), torch.arange(near.shape[1], device=near.device)
    gradient = finite(at.gradient).view(near.shape).mean(dim=0)
    return gradient, near[chosen], logits.view(num, near.shape[1], -1)[chosen]


def _repeated(criterion: Criterion, number: int) -> Criterion:
    return criterion.select(
        torch.arange(len(criterion.y), device=criterion.y.device).repeat(number)
    )


def _normalised(gradient: Tensor) -> Tensor:
    gradient = finite(gradient)
    size = gradient.abs().flatten(1).mean(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
    return gradient / size
