"""The outcome of a reliability check."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, TypeAdapter, field_serializer, field_validator
from pydantic.dataclasses import dataclass

from robust_core.aliases import CHECKS
from robust_core.units import with_no_break


class Severity(StrEnum):
    """Severity of a finding: pass, warning, or fail (the robust accuracy is unreliable)."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class NextAttack:
    """The attack that an advice names, so that it can be run.

    Attributes:
        name: as registered.
        parameters: all of them, as plain JSON values.
        transfer: whether it is to be computed on the other model of the transfer check.
    """

    name: str
    parameters: dict[str, Any] = field(hash=False)
    transfer: bool = False


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Finding:
    """The outcome of one check.

    Attributes:
        name: the check, as a short identifier.
        severity: ok, warn or fail.
        value: what was measured; shares and accuracies in [0, 1].
        threshold: the value beyond which it is not ok.
        sentence: what it means, in plain words.
        advice: what to try next; empty if ok.
        accuracy: robust accuracy under the strongest attack of the check within the same threat
            model, in [0, 1]; None if the check runs no attack.
        cause: what that attack changed, as in "once the attack takes more steps".
        next_attack: the attack that the advice names; None where it names none.
    """

    name: str
    severity: Severity
    value: float
    threshold: float
    sentence: str
    advice: str = ""
    accuracy: float | None = None
    cause: str = ""
    next_attack: NextAttack | None = None

    @field_validator("name", mode="before")
    @classmethod
    def _read_old_name(cls, name: Any) -> Any:
        return CHECKS.get(name, name) if isinstance(name, str) else name

    @field_validator("sentence")
    @classmethod
    def _read_old_sentence(cls, sentence: str) -> str:
        return with_no_break(sentence)

    @field_validator("value", mode="before")
    @classmethod
    def _read_none(cls, value: Any) -> Any:
        return math.nan if value is None else value

    @field_serializer("value")
    def _write_none(self, value: float) -> float | None:
        return value if math.isfinite(value) else None

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values; a value that is not finite becomes None."""
        return TypeAdapter(Finding).dump_python(self, mode="json")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Finding":
        """Return the finding that `to_json` was called on; None becomes NaN."""
        return cls(**values)


def graded(
    name: str,
    value: float,
    *,
    warn_above: float,
    fail_above: float,
    ok: str,
    otherwise: str,
    advice: str,
    cause: str = "",
    next_attack: NextAttack | None = None,
) -> Finding:
    """Return a finding whose severity follows from `value` and the two thresholds.

    Args:
        name: the check.
        value: what was measured, larger is worse.
        warn_above: ok up to here.
        fail_above: warn up to here, fail above.
        ok: the sentence if ok.
        otherwise: the sentence if not.
        advice: what to try next if not.
        cause: what the attack of the check changed, if not.
        next_attack: the attack that the advice names, if not.
    """
    if value <= warn_above:
        return Finding(name, Severity.OK, value, warn_above, ok)
    severity = Severity.FAIL if value > fail_above else Severity.WARN
    return Finding(
        name,
        severity,
        value,
        warn_above,
        otherwise,
        advice,
        cause=cause,
        next_attack=next_attack,
    )


def outcome_of_checks(findings: Sequence[Finding]) -> str:
    """Return the outcome: "pass", "fail: black box; warning: converged", or "not checked"."""
    if not findings:
        return "not checked"
    parts = []
    for severity, word in ((Severity.FAIL, "fail"), (Severity.WARN, "warning")):
        names = [one.name.replace("_", " ") for one in findings if one.severity is severity]
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    return "; ".join(parts) or "pass"


def overall(findings: Sequence[Finding]) -> Severity:
    """Return the worst severity among `findings`; ok where there are none."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=Severity.OK)
