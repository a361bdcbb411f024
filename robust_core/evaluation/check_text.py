"""What the reliability checks are called and what their failure means; the checks stand above."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from robust_core.evaluation.finding import Finding
from robust_core.registry import Registry

TEXTS: Registry["CheckText"] = Registry("check", "robust_core.evaluation.checks")


@dataclass(frozen=True, kw_only=True)
class CheckText:
    """The words of a check, registered with it.

    Attributes:
        name: short identifier, that of its findings.
        title: for pages and tables.
        reason: why a result with this failed check is unreliable, after "cannot be trusted: ".
        rank: of its reason if several checks fail; 1 is the most important.
        unit: of its value: a share or accuracy, or a difference of logits.
    """

    name: str
    title: str
    reason: str
    rank: int
    unit: Literal["share", "logits"] = "share"


def check_title(name: str) -> str:
    """Return the title of the check of a finding, also for checks that old cards name."""
    known = name in TEXTS.names()
    return TEXTS.get(name).title if known else name.replace("_", " ").capitalize()


def check_unit(name: str) -> str:
    """Return what the check of a finding measures: "share" (of images) or "logits"."""
    return TEXTS.get(name).unit if name in TEXTS.names() else "share"


def reasons(findings: Sequence[Finding]) -> list[str]:
    """Return the reasons of the checks of `findings`, the most important first."""
    known = [TEXTS.get(one.name) for one in findings if one.name in TEXTS.names()]
    return [one.reason for one in sorted(known, key=lambda one: one.rank)]
