"""The record of a reliability check: its title, function and cost."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

from robust_core.attacks.base import Attack
from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.check_text import TEXTS, CheckText
from robust_core.evaluation.finding import Finding
from robust_core.registry import Registry

Found_co = TypeVar("Found_co", bound=Finding | None, covariant=True)

CHECKS: Registry["Check[Finding | None]"] = Registry("check", "robust_core.evaluation.checks")


class Cost(NamedTuple):
    """Passes of an image: those that go forward and backward, and those that go forward only."""

    passes: float = 0.0
    queries: float = 0.0

    @property
    def weight(self) -> float:
        """How long it takes, in passes forward and backward; three queries take as long as one."""
        return self.passes + self.queries / 3

    def times(self, number: float) -> "Cost":
        """Return the cost of as many images."""
        return Cost(self.passes * number, self.queries * number)

    def plus(self, other: "Cost") -> "Cost":
        """Return the sum of both."""
        return Cost(self.passes + other.passes, self.queries + other.queries)


@dataclass(frozen=True)
class PlannedCase:
    """A case before its checks are run: all that their cost depends on.

    Attributes:
        attack: whose robust accuracy is checked.
        effort: as of a `ReliabilityCase`.
        stochastic: whether the model is stochastic.
        eot_samples: forward passes averaged per prediction.
    """

    attack: Attack
    effort: float = 1.0
    stochastic: bool = False
    eot_samples: int = 1

    def evaluations(self, *attacks: Attack | None) -> Cost:
        """Return the maximum cost of evaluations under `attacks`; None costs nothing."""
        run = [attack for attack in attacks if attack is not None]
        blind = sum(attack.passes() for attack in run if attack.gradient_free)
        decisions = 2 * self.eot_samples * len(run)  # on the images and on the attacked ones
        return Cost(sum(attack.passes() for attack in run) - blind, blind + decisions)


def costs_nothing(case: PlannedCase) -> Cost:
    """Return the cost of a check that uses existing results only."""
    return Cost()


@dataclass(frozen=True, kw_only=True)
class Check(CheckText, Generic[Found_co]):
    """A reliability check; called, it returns its finding, or None if it does not apply.

    Attributes besides its words:
        run: the check itself.
        order: of the checks, which begin with the cheap ones.
        cost: approximate cost.
    """

    run: Callable[[ReliabilityCase], Found_co]
    order: int
    cost: Callable[[PlannedCase], Cost] = costs_nothing

    def __call__(self, case: ReliabilityCase) -> Found_co:
        """Return the finding of the check on `case`."""
        return self.run(case)


def check(
    name: str,
    *,
    title: str,
    reason: str,
    order: int,
    rank: int,
    cost: Callable[[PlannedCase], Cost] = costs_nothing,
    unit: Literal["share", "logits"] = "share",
) -> Callable[[Callable[[ReliabilityCase], Found_co]], Check[Found_co]]:
    """Return a decorator that makes a function the registered check `name`; see `Check`."""

    def add(run: Callable[[ReliabilityCase], Found_co]) -> Check[Found_co]:
        record = Check(
            name=name,
            title=title,
            reason=reason,
            run=run,
            order=order,
            rank=rank,
            cost=cost,
            unit=unit,
        )
        return CHECKS.register(name)(TEXTS.register(name)(record))

    return add


def list_checks() -> tuple[Check[Finding | None], ...]:
    """Return all checks in the order in which they are run."""
    return tuple(sorted(map(CHECKS.get, CHECKS.names()), key=lambda one: one.order))


def cheapest_first(case: PlannedCase) -> tuple[Check[Finding | None], ...]:
    """Return all checks by their cost; those that cost nothing keep their order.

    The last one stays the last, for it looks at what the others have attacked.
    """
    *others, last = list_checks()
    others.sort(key=lambda one: one.cost(case).weight)
    return (*others, last)


def checks_cost(case: PlannedCase) -> Cost:
    """Return the approximate cost of all checks, including the attack itself."""
    total = case.evaluations(case.attack)
    for one in list_checks():
        total = total.plus(one.cost(case))
    return total
