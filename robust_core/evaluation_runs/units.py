"""How long the pieces of an evaluation may take, and how long is left."""

import math

from robust_core.attacks.base import Attack, attack_from
from robust_core.evaluation.check import Cost, PlannedCase, checks_cost
from robust_core.evaluation.pace import Pace
from robust_core.evaluation_runs.pieces import Kind, Unit, units_of
from robust_core.evaluation_runs.plan import EvaluationPlan, PlannedCurve

MOST_DONE = 0.95  # of a unit that takes longer than expected
UNKNOWN = Pace(1e-3, 3e-4)  # before any is measured: a small network on one core


def plan_cost(plan: EvaluationPlan, num_images: int, *, stochastic: bool = False) -> float:
    """Return at most how many passes of an image a plan takes on one of its models.

    Args:
        plan: the plan.
        num_images: images of the model.
        stochastic: whether the model is stochastic.
    """
    works = _works(plan, num_images, stochastic)
    return sum(sum(work) for work in works.values())


def plan_seconds(
    plan: EvaluationPlan, num_images: int, pace: Pace, *, stochastic: bool = False
) -> float:
    """Return how long a plan takes on one of its models, about, beside the start of its process.

    Args:
        plan: the plan.
        num_images: images of the model.
        pace: of the model on this machine.
        stochastic: whether the model is stochastic.
    """
    works = _works(plan, num_images, stochastic)
    return sum(
        min(pace.seconds(work), time_limit(plan, unit) or math.inf) for unit, work in works.items()
    )


def _works(plan: EvaluationPlan, num_images: int, stochastic: bool) -> dict[Unit, Cost]:
    return {
        unit: work(plan, unit, num_images, stochastic=stochastic)
        for unit in units_of(plan, 0, num_images)
    }


def time_limit(plan: EvaluationPlan, unit: Unit) -> float | None:
    """Return after how many seconds a unit ends by itself; None: it has no limit."""
    if unit.kind == "reliability":
        return plan.check_seconds
    return plan.attacks[unit.attack].parameters.get("time_limit") if unit.kind == "attack" else None


def work(plan: EvaluationPlan, unit: Unit, num_images: int, *, stochastic: bool = False) -> Cost:
    """Return at most how many passes and queries a unit takes, the checks of an attack about.

    Args:
        plan: the plan.
        unit: the unit.
        num_images: images of the checkpoint.
        stochastic: whether the model is stochastic.
    """
    decision = Cost(queries=plan.eot_samples * plan.num_repeats)
    images = min(plan.batch_size, num_images - unit.batch * plan.batch_size)
    if unit.attack < 0:
        return decision.times(images)
    attack = plan.attacks[unit.attack].attack(plan.seed)
    if unit.kind == "reliability":
        images = min(plan.reliability_images, num_images)
        case = PlannedCase(attack, plan.check_effort, stochastic, plan.eot_samples)
        return checks_cost(case).times(images)
    if unit.kind == "curve":
        curve = plan.curves[unit.curve]
        decisions = decision.times(len(curve.values) + 1)
        return _of(attack, _curve_passes(attack, curve)).plus(decisions).times(images)
    return _of(attack, attack.passes()).plus(decision).times(images)


def _of(attack: Attack, passes: float) -> Cost:
    return Cost(queries=passes) if attack.gradient_free else Cost(passes=passes)


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
    """Estimates the share done and the time left, from paces and what units have really taken."""

    def __init__(self, left: dict[Unit, Cost], limits: dict[Unit, float]) -> None:
        """Take the costs of the units to be done, and the time limits of those that have one."""
        self._left, self._limits = dict(left), limits
        self._paces: dict[int, Pace] = {}
        self._spent = self._share = 0.0
        self._taken: dict[tuple[Kind, int, int], tuple[float, float]] = {}  # seconds, estimates

    def set_pace(self, checkpoint: int, pace: Pace) -> None:
        """Note how fast a checkpoint, given by its place, is; others are taken to be alike."""
        self._paces[checkpoint] = pace

    def note(self, unit: Unit, seconds: float) -> None:
        """Note that a unit is done."""
        key = (unit.kind, unit.attack, unit.curve)
        taken, estimated = self._taken.get(key, (0.0, 0.0))
        self._taken[key] = taken + seconds, estimated + self._estimate(unit)
        del self._left[unit]
        self._spent += seconds

    def seconds_left(self, at: Unit | None = None, elapsed: float = 0.0) -> float:
        """Return the estimate.

        Args:
            at: the unit at work.
            elapsed: seconds since it began.
        """
        seconds = sum(self._expected(unit) for unit in self._left)
        return seconds if at is None else seconds - min(elapsed, MOST_DONE * self._expected(at))

    def share(self, at: Unit | None = None, elapsed: float = 0.0) -> float:
        """Return the share of the work that is done, in [0, 1]; it never falls."""
        if not self._left:
            return 1.0
        done = self._spent + elapsed
        total = done + self.seconds_left(at, elapsed)
        self._share = max(self._share, done / total if total > 0 else 0.0)
        return self._share

    def _expected(self, unit: Unit) -> float:
        """Return the estimate for a unit, corrected by what its kind has really taken."""
        taken, estimated = self._taken.get((unit.kind, unit.attack, unit.curve), (1.0, 1.0))
        seconds = self._estimate(unit) * (taken / estimated if estimated > 0 else 1.0)
        return min(seconds, self._limits.get(unit, math.inf))

    def _estimate(self, unit: Unit) -> float:
        known = next(iter(self._paces.values()), UNKNOWN)
        return self._paces.get(unit.checkpoint, known).seconds(self._left[unit])
