"""Checks of the attack: does it find what there is to be found?"""

import torch

from robust_core.attacks.base import AttackStep
from robust_core.attacks.goal import Goal
from robust_core.attacks.mim import MIM
from robust_core.attacks.pgd import PGD
from robust_core.evaluation.checks.outputs import LOSS_WORDS
from robust_core.evaluation.finding import Finding, Severity, graded
from robust_core.evaluation.subject import Subject, takes_one_step
from robust_core.gradients import evaluation_mode
from robust_core.inference.wrappers import ScaledLogits
from robust_core.losses import cosine_floor
from robust_core.models.guard import innermost
from robust_core.models.heads import CosineHead
from robust_core.threat_model import LARGEST_EPSILON, Norm

WARN_ABOVE = 0.01  # share of the images that makes a doubt
LOSS_GAP = 0.04  # the same where two losses are compared


def check_epsilon_zero(subject: Subject) -> Finding | None:
    """With no room to move, robust accuracy is clean accuracy."""
    if subject.attack.minimum_norm or not subject.has("epsilon"):
        return None
    report = subject.report(subject.changed(epsilon=0.0))
    gap = report.clean_accuracy - report.robust_accuracy
    return graded(
        "epsilon_zero",
        gap,
        warn_above=0.0,
        fail_above=subject.alarm_above(0.02),
        ok="At radius 0 the attacked accuracy is the clean one.",
        otherwise=subject.told(
            one="At radius 0 the image falls", many=f"At radius 0 accuracy falls by {gap:.1%}"
        )
        + ": the model answers at random, or attack and evaluation see different models.",
        advice="Decide by the mean of many passes.",
    )


def check_one_step(subject: Subject) -> Finding | None:
    """Many steps contain one step: FGSM should not be the better attack."""
    if not subject.has("num_steps") or subject.attack.gradient_free:
        return None
    single = subject.report(subject.other("fgsm")).robust_accuracy
    gap = subject.robust_accuracy - single
    why, advice = (
        "the gradients on the way mislead",
        "Suspect masked gradients; try smaller steps and Square.",
    )
    longer = subject.longer() if gap > WARN_ABOVE else None
    if longer is not None and subject.report(longer).robust_accuracy <= single:
        why, advice = "they are too few, for more of them do better", "Report the longer attack."
    return graded(
        "one_step",
        gap,
        warn_above=subject.warn_above(WARN_ABOVE),
        fail_above=subject.alarm_above(0.05),
        ok="One step does not beat many.",
        otherwise=subject.told(
            one="A single step breaks the image, many steps do not",
            many=f"A single step leaves {single:.1%}, many leave {subject.robust_accuracy:.1%}",
        )
        + f": {why}.",
        advice=advice,
        cause="once the attack takes a single step",
    )


def check_margin_loss(subject: Subject) -> Finding | None:
    """Cross-entropy and margin loss should find about the same; the alarm is at 4 points.

    An attack on the cross-entropy is compared with the margin, one on the margin or the difference
    of logits ratio with cross-entropy. Where the loss in doubt finds more, the other is no proof of
    anything, but so wide a gap says that each may miss what the other finds.
    """
    other = subject.other_loss
    if other is None:
        return None
    own = subject.attack.model_dump()["loss"]
    left = subject.report(subject.changed(loss=other)).robust_accuracy
    gap = subject.robust_accuracy - left
    if len(subject.x) > 1 and -gap > LOSS_GAP:
        return _losses_disagree(subject, own, other, left)
    flat = _flatness_of_cosines(subject) if own == "cross_entropy" else ""
    one, two = LOSS_WORDS[other], LOSS_WORDS[own]
    before = f"{subject.robust_accuracy:.1%}"
    return graded(
        "margin_loss",
        gap,
        warn_above=subject.warn_above(LOSS_GAP),
        fail_above=subject.alarm_above(0.10),
        ok=subject.told(
            one=f"With {one} the attack finds no more than with {two}.",
            many=f"With {one} the attack finds about as much as with {two}.",
        ),
        otherwise=subject.told(
            one=f"With {one} the attack breaks the image, with {two} it does not",
            many=f"With {one} the attack leaves {left:.1%}, with {two} {before}",
        )
        + f": it is the loss that withstands, not the model.{flat}",
        advice=f"Report the attack with {one}, or AutoAttack.",
        cause=f"once the attack uses {one}",
    )


def _losses_disagree(subject: Subject, own: str, other: str, left: float) -> Finding:
    """Return the doubt where the loss of the attack in doubt finds much more than the other."""
    gap = left - subject.robust_accuracy
    sentence = (
        f"The two losses disagree by {100 * gap:.1f} points: with {LOSS_WORDS[other]} the attack "
        f"leaves {left:.1%}, with {LOSS_WORDS[own]} {subject.robust_accuracy:.1%}."
    )
    if other == "cross_entropy":
        sentence += _flatness_of_cosines(subject)
    advice = "Report the worst case of both, image by image."
    return Finding("margin_loss", Severity.WARN, gap, LOSS_GAP, sentence, advice)


def check_logit_scale(subject: Subject) -> Finding | None:
    """Scaling all logits changes no prediction and should change no attack."""
    if not subject.has("loss"):
        return None
    top = subject.predict().topk(2, dim=1).values
    lead = float((top[:, 0] - top[:, 1]).median().clamp_min(1e-6))
    scaled = ScaledLogits(subject.attacked, 1.0 / lead)
    other = subject.transferred(subject.attack, scaled).robust_accuracy
    gap = subject.robust_accuracy - other
    return graded(
        "logit_scale",
        gap,
        warn_above=subject.warn_above(0.02),
        fail_above=subject.alarm_above(0.10),
        ok=f"Scaling all logits {'hardly helps' if gap > 0 else 'does not help'} the attack.",
        otherwise=f"Dividing all logits by {lead:.3g} changes no prediction, but the attack then "
        + subject.told(
            one="breaks the image, which it did not before",
            many=f"leaves {other:.1%} instead of {subject.robust_accuracy:.1%}",
        )
        + f": the loss was {'saturated' if lead > 1.0 else 'too flat'}."
        + _flatness_of_cosines(subject),
        advice="Use a loss that ignores the scale (margin, DLR).",
        cause="once the logits are scaled for the attack",
    )


def _flatness_of_cosines(subject: Subject) -> str:
    """Return a sentence more where the attacked logits are bare cosines, nothing elsewhere."""
    head = getattr(innermost(subject.attacked), "classifier", None)
    if not isinstance(head, CosineHead) or head.scale != 1.0:
        return ""
    return (
        " The logits are cosines: their cross-entropy is nearly flat and stays above about "
        f"{cosine_floor(head.out_features):.2f} nats however right they are."
    )


def check_silent_success(subject: Subject) -> Finding | None:
    """An earlier iterate may have been adversarial although the last one is not.

    Both are judged alike, by the passes that decide and with the same noise: what one noisy look
    on the way took for a success is none.
    """
    attack = subject.attack
    if not isinstance(attack, PGD | MIM) or getattr(attack, "stop_when_fallen", False):
        return None
    x, y = subject.x[subject.correct], subject.y[subject.correct]
    if len(x) == 0:
        return None
    goal = Goal("margin", y)
    best, best_margin = x, torch.full((len(x),), float("-inf"), device=x.device)

    def remember(step: AttackStep) -> None:
        nonlocal best, best_margin
        margin = goal(step.logits)
        best = torch.where((margin > best_margin).view(-1, 1, 1, 1), step.x_adv, best)
        best_margin = torch.maximum(margin, best_margin)

    with evaluation_mode(subject.attacked):
        last = subject.changed(num_restarts=1)(subject.attacked, x, y, on_step=remember)
    missed = subject.report(attack).robust_correct.to(x.device)[subject.correct]
    missed &= goal.reached(subject.judge(best)) & ~goal.reached(subject.judge(last))
    broken = torch.zeros(len(subject.x), dtype=torch.bool, device=x.device)
    broken[subject.correct] = missed
    subject.note_broken(broken)
    share = int(missed.sum()) / len(subject.x)
    return graded(
        "silent_success",
        share,
        warn_above=subject.warn_above(0.005),
        fail_above=subject.alarm_above(0.05),
        ok="No earlier step was better than the last one, which is judged.",
        otherwise="An earlier step of the attack fooled the model on "
        + subject.told(one="the image", many=f"{share:.1%} of the images")
        + ", but the last one, which is judged, does not.",
        advice="Keep the best step, as APGD does.",
        cause="once every step of the attack counts",
    )


def check_large_radius(subject: Subject) -> Finding | None:
    """In a ball that reaches the same grey image from everywhere, nothing can be robust.

    Not asked where a ball of that size is not offered, and of attacks of a single step: a step of
    that length goes past what is near.
    """
    attack = subject.attack
    if attack.minimum_norm or not subject.has("epsilon") or takes_one_step(attack):
        return None
    reach = 0.5 if attack.norm is Norm.LINF else 0.5 * subject.x[0].numel() ** 0.5
    if reach > LARGEST_EPSILON[attack.norm]:
        return None
    left = subject.report(subject.changed(epsilon=reach, step_size=None)).robust_accuracy
    chance = 1.0 / subject.predict().shape[1]
    return graded(
        "large_radius",
        left,
        warn_above=subject.warn_above(max(0.02, chance / 2)),
        fail_above=subject.alarm_above(max(0.1, 1.5 * chance)),
        ok=subject.told(
            one="At a large radius the image falls.", many="Accuracy vanishes at a large radius."
        ),
        otherwise=subject.told(one="The image survives", many=f"{left:.0%} survive")
        + f" radius {reach:.2g}, at which every image can be turned grey: it is the attack that "
        "fails.",
        advice="Use a stronger attack." if attack.gradient_free else "Suspect masked gradients.",
    )


def check_converged(subject: Subject) -> Finding | None:
    """More steps or queries, and more restarts where they begin elsewhere, should not matter."""
    longer = subject.longer()
    if longer is None:
        return None
    values, before = longer.model_dump(), subject.attack.model_dump()
    length = "num_steps" if "num_steps" in values else "num_queries"
    words = f"{values[length]} {length.removeprefix('num_')}"
    if values.get("step_size") != before.get("step_size"):
        words += " of automatic length"
    if values.get("num_restarts") != before.get("num_restarts"):
        words += f" and {values['num_restarts']} restarts"
    gap = subject.robust_accuracy - subject.report(longer).robust_accuracy
    return graded(
        "converged",
        gap,
        warn_above=subject.warn_above(WARN_ABOVE),
        fail_above=subject.alarm_above(0.05),
        ok=f"{words} find {'hardly anything' if gap > 0 else 'nothing'} more.",
        otherwise=f"With {words} "
        + subject.told(one="the image falls", many=f"accuracy falls by another {gap:.1%}")
        + ": the attack had not converged.",
        advice="Report the longer attack.",
        cause=f"once the attack takes {words}",
    )
