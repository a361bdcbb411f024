"""What a check of a robustness number has to say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


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
        accuracy: what the strongest attack of the check in the number's own threat model leaves,
            in [0, 1]; None where it attacks nothing.
        cause: what that attack did, to follow the number: "once the attack has more steps".
    """

    name: str
    severity: Severity
    value: float
    threshold: float
    sentence: str
    advice: str = ""
    accuracy: float | None = None
    cause: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values; a value that is not finite becomes None."""
        return {**asdict(self), "value": self.value if math.isfinite(self.value) else None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Finding":
        """Return the finding that `to_json` was called on; None becomes NaN."""
        value = math.nan if values["value"] is None else values["value"]
        return cls(**{**values, "value": value, "severity": Severity(values["severity"])})


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
        cause: what the attack of the check did, when it is not.
    """
    if value <= warn_above:
        return Finding(name, Severity.OK, value, warn_above, ok)
    severity = Severity.FAIL if value > fail_above else Severity.WARN
    return Finding(name, severity, value, warn_above, otherwise, advice, cause=cause)


def verdict(findings: Sequence[Finding]) -> str:
    """Return what checks found: "pass", "fail: black box; warning: converged", or "not checked"."""
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
