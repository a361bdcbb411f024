"""The pieces that an evaluation is done and kept in, and how long they may take."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from robust_core.attacks.base import Attack, attack_from
from robust_core.evaluation.check import PlannedCase, checks_cost
from robust_core.evaluation_runs.plan import EvaluationPlan, PlannedCurve

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
        if plan.check_reliability:
            yield Unit(checkpoint, "reliability", attack, 0)
        for curve in plan.curves_of(attack):
            yield from (Unit(checkpoint, "curve", attack, batch, curve) for batch in batches)


def plan_cost(plan: EvaluationPlan, num_images: int, *, stochastic: bool = False) -> float:
    """Return at most how many passes of an image a plan takes on one of its models.

    Args:
        plan: the plan.
        num_images: images of the model.
        stochastic: whether the model is stochastic.
    """
    attacks = [choice.attack(plan.seed) for choice in plan.attacks]
    return sum(
        cost(
            plan,
            unit,
            attacks[unit.attack] if unit.attack >= 0 else None,
            num_images,
            stochastic=stochastic,
        )
        for unit in units_of(plan, 0, num_images)
    )


def cost(
    plan: EvaluationPlan,
    unit: Unit,
    attack: Attack | None,
    num_images: int,
    *,
    stochastic: bool = False,
) -> float:
    """Return at most how many passes of an image a unit takes, the checks of an attack about.

    Args:
        plan: the plan.
        unit: the unit.
        attack: its attack, if any.
        num_images: images of the checkpoint.
        stochastic: whether the model is stochastic; only checks need to know.
    """
    decision = plan.eot_samples * plan.num_repeats
    images = min(plan.batch_size, num_images - unit.batch * plan.batch_size)
    if attack is None:
        return images * decision
    if unit.kind == "reliability":
        images = min(plan.reliability_images, num_images)
        case = PlannedCase(attack, stochastic=stochastic, eot_samples=plan.eot_samples)
        return images * sum(checks_cost(case))
    if unit.kind == "curve":
        curve = plan.curves[unit.curve]
        return images * (_curve_passes(attack, curve) + (len(curve.values) + 1) * decision)
    return images * (attack.passes() + decision)


def _curve_passes(attack: Attack, curve: PlannedCurve) -> int:
    """Return at most how many passes an image takes, see `accuracy_curve`."""
    if curve.parameter == "epsilon":
        runs = 1 if attack.minimum_norm else math.ceil(math.log2(len(curve.values) + 1))
        return runs * attack.passes()
    values = curve.values
    if curve.parameter == "num_restarts":
        values = (max(values),)  # earlier restarts are not repeated
    attacks = (
        attack_from(attack.name, {**attack.model_dump(), curve.parameter: value})
        for value in values
    )
    return sum(one.passes() for one in attacks)


class Clock:
    """Estimates the time left from what the units done so far have taken."""

    def __init__(self, left: dict[Unit, float]) -> None:
        """Take the units to be done and their costs."""
        self._left = dict(left)
        self._total = sum(left.values())
        self._seconds: dict[tuple[Kind, int, int], float] = {}
        self._costs: dict[tuple[Kind, int, int], float] = {}

    def note(self, unit: Unit, seconds: float) -> None:
        """Note that a unit is done."""
        key = (unit.kind, unit.attack, unit.curve)
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds
        self._costs[key] = self._costs.get(key, 0.0) + self._left.pop(unit)

    def share(self) -> float:
        """Return the share of the work that is done, in [0, 1]."""
        return 1.0 - sum(self._left.values()) / self._total if self._left else 1.0

    def seconds_left(self) -> float | None:
        """Return the estimate; None before the first unit is done."""
        spent = sum(self._costs.values())
        if spent == 0:
            return None
        average = sum(self._seconds.values()) / spent
        seconds = 0.0
        for unit, expected in self._left.items():
            key = (unit.kind, unit.attack, unit.curve)
            known = key in self._costs
            seconds += expected * (self._seconds[key] / self._costs[key] if known else average)
        return seconds
