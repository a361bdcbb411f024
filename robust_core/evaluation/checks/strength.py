"""Checks of the attack: is it strong enough?"""

import torch

from robust_core.attacks.base import AttackStep
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.description import LOSS_WORDS
from robust_core.attacks.mim import MIM
from robust_core.attacks.pgd import PGD
from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.check import Cost, PlannedCase, check
from robust_core.evaluation.checks.scale import flatness_of_cosines, of_another_loss
from robust_core.evaluation.finding import Finding, Severity, graded
from robust_core.evaluation.variants import (
    has_parameter,
    in_same_threat_model,
    longer,
    other_loss,
    suggested,
    takes_one_step,
)
from robust_core.models.modes import evaluation_mode
from robust_core.threat_model import LARGEST_EPSILON, Norm
from robust_core.units import percent

WARN_ABOVE = 0.01  # share of the images that gives a warning
LOSS_GAP = 0.04  # the same where two losses are compared


def _of_a_single_step(case: PlannedCase) -> Cost:
    many = has_parameter(case.attack, "num_steps") and not case.attack.gradient_free
    return case.evaluations(in_same_threat_model(case.attack, "fgsm") if many else None)


def _of_every_step(case: PlannedCase) -> Cost:
    return case.evaluations(case.attack if isinstance(case.attack, PGD | MIM) else None)


@check(
    "epsilon_zero",
    title="Epsilon 0",
    reason="the image is misclassified at epsilon 0",
    order=80,
    rank=13,
    cost=lambda case: case.evaluations(case.attack),
)
def check_epsilon_zero(case: ReliabilityCase) -> Finding | None:
    """At epsilon 0, robust accuracy must equal clean accuracy."""
    if case.attack.minimum_norm or not case.has("epsilon"):
        return None
    report = case.report(case.changed(epsilon=0.0))
    gap = report.clean_accuracy - report.robust_accuracy
    return graded(
        "epsilon_zero",
        gap,
        warn_above=0.0,
        fail_above=case.alarm_above(0.02),
        ok="At epsilon 0, robust accuracy equals clean accuracy.",
        otherwise=case.phrase(
            one="At epsilon 0 the image is misclassified",
            many=f"At epsilon 0 accuracy drops by {percent(gap, 1)}",
        )
        + ": the model is stochastic, or attack and evaluation use different models.",
        advice="Average many passes per prediction.",
    )


@check(
    "one_step",
    title="One step against many",
    reason="a single-step attack fools the model",
    order=110,
    rank=9,
    cost=_of_a_single_step,
)
def check_one_step(case: ReliabilityCase) -> Finding | None:
    """Iterative attacks should be at least as strong as single-step ones (FGSM)."""
    if not case.has("num_steps") or case.attack.gradient_free:
        return None
    single = case.report(case.other("fgsm")).robust_accuracy
    gap = case.robust_accuracy - single
    why, advice = (
        "gradients near the image mislead the attack",
        "Gradients are probably masked: try smaller steps and Square.",
    )
    following = case.other("square")
    longer = case.longer() if gap > WARN_ABOVE else None
    if longer is not None and case.report(longer).robust_accuracy <= single:
        why, advice = "the attack takes too few steps", "Report the longer attack."
        following = longer
    return graded(
        "one_step",
        gap,
        warn_above=case.warn_above(WARN_ABOVE),
        fail_above=case.alarm_above(0.05),
        ok="One step is not stronger than many.",
        otherwise=case.phrase(
            one="A single step fools the model on the image, many steps do not",
            many=f"Robust accuracy is {percent(single, 1)} under a single step, but "
            f"{percent(case.robust_accuracy, 1)} under many",
        )
        + f": {why}.",
        advice=advice,
        cause="once the attack takes a single step",
        next_attack=suggested(following),
    )


@check(
    "margin_loss",
    title="Another loss",
    reason="the attack with another loss fools the model",
    order=120,
    rank=8,
    cost=of_another_loss,
)
def check_margin_loss(case: ReliabilityCase) -> Finding | None:
    """Cross-entropy and margin loss should give about the same accuracy, to within 4 points.

    An attack with cross-entropy is compared with the margin, one with the margin or the difference
    of logits ratio with cross-entropy. If the attack's own loss is much stronger, that is a warning
    as well: each loss may miss adversarial examples that the other finds.
    """
    other = other_loss(case.attack)
    if other is None:
        return None
    own = case.attack.model_dump()["loss"]
    left = case.report(case.changed(loss=other)).robust_accuracy
    gap = case.robust_accuracy - left
    if len(case.x) > 1 and -gap > LOSS_GAP:
        return _losses_disagree(case, own, other, left)
    flat = flatness_of_cosines(case) if own == "cross_entropy" else ""
    one, two = LOSS_WORDS[other], LOSS_WORDS[own]
    before = percent(case.robust_accuracy, 1)
    return graded(
        "margin_loss",
        gap,
        warn_above=case.warn_above(LOSS_GAP),
        fail_above=case.alarm_above(0.10),
        ok=case.phrase(
            one=f"The attack finds no more with {one} than with {two}.",
            many=f"Robust accuracy is about the same with {one} as with {two}.",
        ),
        otherwise=case.phrase(
            one=f"The attack with {one} fools the model on the image, with {two} it does not",
            many=f"Robust accuracy is {percent(left, 1)} with {one}, but {before} with {two}",
        )
        + f": the apparent robustness comes from the attack's loss, not from the model.{flat}",
        advice=f"Report the attack with {one}, or AutoAttack.",
        cause=f"once the attack uses {one}",
        next_attack=suggested(case.changed(loss=other)),
    )


def _losses_disagree(case: ReliabilityCase, own: str, other: str, left: float) -> Finding:
    """Return the warning that the attack's own loss is much stronger than the other."""
    gap = left - case.robust_accuracy
    sentence = (
        f"The two losses disagree by {100 * gap:.1f} points: robust accuracy is {percent(left, 1)} "
        f"with {LOSS_WORDS[other]}, {percent(case.robust_accuracy, 1)} with {LOSS_WORDS[own]}."
    )
    if other == "cross_entropy":
        sentence += flatness_of_cosines(case)
    advice = "Report the worst case of both losses per image."
    following = suggested(case.changed(loss=other))
    return Finding(
        "margin_loss", Severity.WARN, gap, LOSS_GAP, sentence, advice, next_attack=following
    )


@check(
    "silent_success",
    title="Best step",
    reason="an earlier step was adversarial",
    order=140,
    rank=12,
    cost=_of_every_step,
)
def check_silent_success(case: ReliabilityCase) -> Finding | None:
    """An earlier iterate may be adversarial although the last one is not.

    Both are evaluated in the same way, by the mean of `eot_samples` passes with the same noise, so
    that a lucky pass during the attack is not taken for a success.
    """
    attack = case.attack
    if not isinstance(attack, PGD | MIM) or getattr(attack, "stop_when_fooled", False):
        return None
    x, y = case.x[case.correct], case.y[case.correct]
    if len(x) == 0:
        return None
    criterion = Criterion("margin", y)
    best, best_margin = x, torch.full((len(x),), float("-inf"), device=x.device)

    def remember(step: AttackStep) -> None:
        nonlocal best, best_margin
        margin = criterion(step.logits)
        best = torch.where((margin > best_margin).view(-1, 1, 1, 1), step.x_adv, best)
        best_margin = torch.maximum(margin, best_margin)

    with evaluation_mode(case.attacked):
        last = case.perturbed(case.changed(num_restarts=1), x, y, remember)
    missed = case.report(attack).robust_correct.to(x.device)[case.correct]
    missed &= criterion.is_met(case.mean_logits(best)) & ~criterion.is_met(case.mean_logits(last))
    broken = torch.zeros(len(case.x), dtype=torch.bool, device=x.device)
    broken[case.correct] = missed
    case.note_broken(broken)
    share = int(missed.sum()) / len(case.x)
    return graded(
        "silent_success",
        share,
        warn_above=case.warn_above(0.005),
        fail_above=case.alarm_above(0.05),
        ok="No earlier step was more successful than the last one, which is evaluated.",
        otherwise="An earlier step of the attack fooled the model on "
        + case.phrase(one="the image", many=f"{percent(share, 1)} of the images")
        + ", but the last one, which is evaluated, does not.",
        advice="Keep the best step, as APGD does.",
        cause="once every step of the attack counts",
        next_attack=suggested(case.like("apgd")),
    )


@check(
    "large_epsilon",
    title="Large epsilon",
    reason="the attack fails even with a very large epsilon",
    order=150,
    rank=6,
    cost=lambda case: case.evaluations(case.attack),
)
def check_large_epsilon(case: ReliabilityCase) -> Finding | None:
    """If epsilon is so large that every image can be turned grey, no model can be robust.

    Not for threat models that do not allow so large an epsilon, nor for single-step attacks: one
    step of that size overshoots nearby adversarial examples.
    """
    attack = case.attack
    if attack.minimum_norm or not case.has("epsilon") or takes_one_step(attack):
        return None
    reach = 0.5 if attack.norm is Norm.LINF else 0.5 * case.x[0].numel() ** 0.5
    if reach > LARGEST_EPSILON[attack.norm]:
        return None
    left = case.report(case.changed(epsilon=reach, step_size=None)).robust_accuracy
    chance = 1.0 / case.predict().shape[1]
    return graded(
        "large_epsilon",
        left,
        warn_above=case.warn_above(max(0.02, chance / 2)),
        fail_above=case.alarm_above(max(0.1, 1.5 * chance)),
        ok=case.phrase(
            one="With a very large epsilon the attack succeeds.",
            many="Robust accuracy vanishes with a very large epsilon.",
        ),
        otherwise=case.phrase(
            one="The image stays correct", many=f"{percent(left)} of the images stay correct"
        )
        + f" at epsilon {reach:.2g}, which can turn every image grey: the attack fails.",
        advice="Use a stronger attack, such as the adaptive one.",
        next_attack=suggested(case.other("adaptive")),
    )


@check(
    "converged",
    title="A longer attack",
    reason="a longer attack fools the model",
    order=160,
    rank=7,
    cost=lambda case: case.evaluations(longer(case.attack, case.effort)),
)
def check_converged(case: ReliabilityCase) -> Finding | None:
    """More steps or queries, and more random restarts, should not change the result."""
    longer = case.longer()
    if longer is None:
        return None
    values, before = longer.model_dump(), case.attack.model_dump()
    length = "num_steps" if "num_steps" in values else "num_queries"
    words = f"{values[length]} {length.removeprefix('num_')}"
    if values.get("step_size") != before.get("step_size"):
        words += " of automatic length"
    if values.get("num_restarts") != before.get("num_restarts"):
        words += f" and {values['num_restarts']} restarts"
    gap = case.robust_accuracy - case.report(longer).robust_accuracy
    return graded(
        "converged",
        gap,
        warn_above=case.warn_above(WARN_ABOVE),
        fail_above=case.alarm_above(0.05),
        ok=f"{words} {'hardly change' if gap > 0 else 'do not change'} the result.",
        otherwise=f"With {words} "
        + case.phrase(
            one="the attack succeeds", many=f"robust accuracy drops by another {percent(gap, 1)}"
        )
        + ": the attack had not converged.",
        advice="Report the longer attack.",
        cause=f"once the attack takes {words}",
        next_attack=suggested(longer),
    )
