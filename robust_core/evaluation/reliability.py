"""Is a robust accuracy reliable? Checks for masked gradients and weak attacks.

After Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018,
arXiv:1802.00420, section 3.1; Carlini et al., "On Evaluating Adversarial Robustness",
arXiv:1902.06705, sections 4 and 5; Tramer et al., "On Adaptive Attacks to Adversarial Example
Defenses", NeurIPS 2020, arXiv:2002.08347. The thresholds are this project's own.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.check import CHECKS, Check, list_checks
from robust_core.evaluation.finding import Finding

__all__ = ["ReliabilityCase", "check_reliability"]


@torch.inference_mode(False)
def check_reliability(
    case: ReliabilityCase, *, on_finding: Callable[[Finding], None] | None = None
) -> list[Finding]:
    """Run every check that applies, the cheap ones first, and return the findings.

    Each finding has the robust accuracy under the strongest attack of its check (`accuracy`); the
    worst case over all of them is the case's `worst_case`. If outputs are not finite, or if no
    image is correct without an attack, that is the only finding.

    Args:
        case: model, images and the attack whose robust accuracy is checked.
        on_finding: called with each finding as soon as it is available.
    """
    findings = []
    for check in _applicable(case):
        with case.recording() as left:
            finding = check(case)
        if finding is None:
            continue
        finding = replace(finding, accuracy=min(left, default=None))
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)
    return findings


def _applicable(case: ReliabilityCase) -> tuple[Check[Finding | None], ...]:
    if not case.finite:
        return (CHECKS.get("logits"),)
    return list_checks() if bool(case.correct.any()) else (CHECKS.get("attacked_images"),)
