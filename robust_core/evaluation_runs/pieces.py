"""The pieces that an evaluation is done and kept in."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from robust_core.evaluation_runs.plan import EvaluationPlan

Kind = Literal["clean", "attack", "curve", "reliability"]


@dataclass(frozen=True)
class Unit:
    """One piece: a batch of one checkpoint under one attack, or the checks of one attack.

    Attributes:
        checkpoint: place in the plan.
        kind: "clean", "attack", "curve" or "reliability".
        attack: place in the plan; -1 without an attack.
        batch: number of the batch; 0 for the checks, which take the first images.
        curve: place in the plan; -1 without a curve.
    """

    checkpoint: int
    kind: Kind
    attack: int
    batch: int
    curve: int = -1

    @property
    def name(self) -> str:
        """The stem of its file."""
        places = [place for place in (self.attack, self.curve) if place >= 0]
        return "-".join(map(str, (self.checkpoint, self.kind, *places, self.batch)))


def num_batches(plan: EvaluationPlan, num_images: int) -> int:
    """Return how many batches the images of a checkpoint make."""
    return math.ceil(num_images / plan.batch_size)


def units_of(plan: EvaluationPlan, checkpoint: int, num_images: int) -> Iterator[Unit]:
    """Yield the units of a checkpoint in the order in which they are done."""
    batches = range(num_batches(plan, num_images))
    yield from (Unit(checkpoint, "clean", -1, batch) for batch in batches)
    for attack in range(len(plan.attacks)):
        yield from (Unit(checkpoint, "attack", attack, batch) for batch in batches)
        if plan.checks(attack):
            yield Unit(checkpoint, "reliability", attack, 0)
        for curve in plan.curves_of(attack):
            yield from (Unit(checkpoint, "curve", attack, batch, curve) for batch in batches)
