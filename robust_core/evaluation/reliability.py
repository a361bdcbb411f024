"""Is a robust accuracy reliable? Checks for masked gradients and weak attacks.

After Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018,
arXiv:1802.00420, section 3.1; Carlini et al., "On Evaluating Adversarial Robustness",
arXiv:1902.06705, sections 4 and 5; Tramer et al., "On Adaptive Attacks to Adversarial Example
Defenses", NeurIPS 2020, arXiv:2002.08347. The thresholds are this project's own.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from robust_core.attacks.notes import note
from robust_core.evaluation.batch import passes_told
from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.check import CHECKS, Check, PlannedCase, cheapest_first, list_checks
from robust_core.evaluation.finding import Finding, Severity

__all__ = ["ReliabilityCase", "check_reliability"]


class _TimeUp(Exception):  # noqa: N818 - no error: the checks end with what they have
    """The time limit of the checks is reached."""


@torch.inference_mode(False)
def check_reliability(
    case: ReliabilityCase,
    *,
    on_check: Callable[[str], None] | None = None,
    on_finding: Callable[[Finding], None] | None = None,
    stop_at_alarm: bool = False,
    seconds: float | None = None,
) -> list[Finding]:
    """Run every check that applies, the cheap ones first, and return the findings.

    Each finding has the robust accuracy under the strongest attack of its check (`accuracy`); the
    worst case over all of them is the case's `worst_case`. If outputs are not finite, or if no
    image is correct without an attack, that is the only finding.

    Args:
        case: model, images and the attack whose robust accuracy is checked.
        on_check: called with the title of each check before it is run.
        on_finding: called with each finding as soon as it is available.
        stop_at_alarm: strictly by cost, and no more after the first check that fails; a note
            (`attacks.notes`) names what was not run.
        seconds: time limit; the check at work then is given up, and a note names what was not run.
            The checked attack itself is made in any case.
    """
    findings: list[Finding] = []
    until = None if seconds is None else time.monotonic() + seconds
    checks = _applicable(case, stop_at_alarm)
    for number, check in enumerate(checks):
        if on_check is not None:
            on_check(check.title)
        try:
            with case.recording() as left, passes_told(lambda _: _check_time(until)):
                finding = check(case)
        except _TimeUp:
            why = f"the checks reached their time limit of {seconds:g} s"
            note(f"{why}; not run: {_titles(checks[number:])}")
            break
        if finding is None:
            continue
        finding = replace(finding, accuracy=min(left, default=None))
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)
        rest = checks[number + 1 :]
        if stop_at_alarm and finding.severity is Severity.FAIL and rest:
            note(f"the checks stopped at the first that failed; not run: {_titles(rest)}")
            break
    return findings


def _check_time(until: float | None) -> None:
    if until is not None and time.monotonic() >= until:
        raise _TimeUp


def _titles(checks: Sequence[Check[Finding | None]]) -> str:
    return ", ".join(check.title[:1].lower() + check.title[1:] for check in checks)


def _applicable(case: ReliabilityCase, by_cost: bool) -> tuple[Check[Finding | None], ...]:
    if not case.finite:
        return (CHECKS.get("logits"),)
    if not bool(case.correct.any()):
        return (CHECKS.get("attacked_images"),)
    if not by_cost:
        return list_checks()
    planned = PlannedCase(case.attack, case.effort, case.stochastic, case.eot_samples)
    return cheapest_first(planned)
