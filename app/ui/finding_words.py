"""Findings of the reliability checks in words; knows no streamlit."""

from collections.abc import Sequence

from app.ui.units import percent
from robust_core.evaluation.check_text import check_unit, reasons
from robust_core.evaluation.finding import Finding, Severity, overall
from robust_core.evaluation.trace import AttackTrace

SEVERITY_WORDS = {Severity.OK: "pass", Severity.WARN: "warning", Severity.FAIL: "fail"}
MOST_REASONS = 2


def measured_words(finding: Finding) -> str:
    """Return the measured value beside the threshold: "measured 100 %, pass up to 2 %"."""
    if check_unit(finding.name) == "logits":
        return f"outputs moved by {finding.value:.3g}, pass up to {finding.threshold:.3g}"
    return f"measured {percent(finding.value)}, pass up to {_exact_percent(finding.threshold)}"


def reliability_sentence(findings: Sequence[Finding], trace: AttackTrace) -> str:
    """Return whether the result of an attack on one image is reliable, in one or two sentences."""
    worst = overall(findings)
    raised = [finding for finding in findings if finding.severity is worst]
    why = " and ".join(reasons(raised)[:MOST_REASONS])
    if trace.success and trace.target is None:
        proof = "The attack succeeded: the adversarial image is the proof."
        if worst is Severity.OK:
            return proof
        return f"{proof} Had it failed, that would say little about the model: {why}."
    if worst is Severity.OK:
        return "No sign of masked gradients on this image."
    if worst is Severity.WARN:
        return f"Take this result with caution: {why}."
    return f"This result cannot be trusted: {why}."


def _exact_percent(share: float) -> str:
    return f"{100 * share:.3g}\u00a0%"
