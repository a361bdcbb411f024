"""Can a robustness number be trusted? Checks that catch masked gradients and weak attacks.

After Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018,
arXiv:1802.00420, section 3.1; Carlini et al., "On Evaluating Adversarial Robustness",
arXiv:1902.06705, sections 4 and 5; Tramer et al., "On Adaptive Attacks to Adversarial Example
Defenses", NeurIPS 2020, arXiv:2002.08347. The thresholds are this project's own.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from robust_core.evaluation.checks.outputs import (
    check_attacked_images,
    check_chance,
    check_classes,
    check_deterministic,
    check_finite_outputs,
    check_gradients,
    check_logits,
    check_predictions,
)
from robust_core.evaluation.checks.strength import (
    check_converged,
    check_epsilon_zero,
    check_large_radius,
    check_logit_scale,
    check_margin_loss,
    check_one_step,
    check_silent_success,
)
from robust_core.evaluation.checks.target import (
    check_attacked_model,
    check_black_box,
    check_randomness,
    check_through_defence,
    check_transfer,
)
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.subject import Subject

__all__ = ["CHECKS", "Subject", "check_reliability"]

Check = Callable[[Subject], Finding | None]

CHECKS: tuple[Check, ...] = (
    check_logits,
    check_attacked_images,
    check_classes,
    check_chance,
    check_predictions,
    check_deterministic,
    check_gradients,
    check_epsilon_zero,
    check_attacked_model,
    check_through_defence,
    check_one_step,
    check_margin_loss,
    check_logit_scale,
    check_silent_success,
    check_large_radius,
    check_converged,
    check_randomness,
    check_transfer,
    check_black_box,
    check_finite_outputs,  # last: it looks at what all the others have attacked
)


@torch.inference_mode(False)
def check_reliability(
    subject: Subject, *, on_finding: Callable[[Finding], None] | None = None
) -> list[Finding]:
    """Run every check that applies, the cheap ones first, and return what they found.

    Each finding says what the strongest attack of its check has left (`accuracy`); all of them
    together are the subject's `worst_case`. Where outputs are not finite numbers nothing can be
    measured, and where no image is right without an attack nothing was: then only that is found.

    Args:
        subject: model, images and the attack whose number is in doubt.
        on_finding: told each finding as soon as it is there.
    """
    findings = []
    for check in _applicable(subject):
        with subject.recording() as left:
            finding = check(subject)
        if finding is None:
            continue
        finding = replace(finding, accuracy=min(left, default=None))
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)
    return findings


def _applicable(subject: Subject) -> tuple[Check, ...]:
    if not subject.finite:
        return (check_logits,)
    return CHECKS if bool(subject.correct.any()) else (check_attacked_images,)
