"""What a check of a robustness number has to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is: fine, doubtful, or the number cannot be trusted."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: the check, as a short identifier.
        severity: ok, warn or fail.
        value: what was measured; shares and accuracies in [0, 1].
        threshold: the value beyond which it is not ok.
        sentence: what it means, for a student.
        advice: what to try next; empty when all is well.
    """

    name: str
    severity: Severity
    value: float
    threshold: float
    sentence: str
    advice: str = ""


def graded(
    name: str,
    value: float,
    *,
    warn_above: float,
    fail_above: float,
    ok: str,
    otherwise: str,
    advice: str,
) -> Finding:
    """Return a finding whose severity follows from `value` and the two thresholds.

    Args:
        name: the check.
        value: what was measured, larger is worse.
        warn_above: ok up to here.
        fail_above: warn up to here, fail above.
        ok: the sentence when all is well.
        otherwise: the sentence when it is not.
        advice: what to try next when it is not.
    """
    if value <= warn_above:
        return Finding(name, Severity.OK, value, warn_above, ok)
    severity = Severity.FAIL if value > fail_above else Severity.WARN
    return Finding(name, severity, value, warn_above, otherwise, advice)


def overall(findings: Sequence[Finding]) -> Severity:
    """Return the worst severity among `findings`; ok where there are none."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=Severity.OK)
