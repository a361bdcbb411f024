"""Checks against other attacks: do images of another model, or blind searches, find more?"""

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, attack_from
from robust_core.attacks.bpda import BPDA
from robust_core.attacks.description import LOSS_WORDS, attack_title
from robust_core.attacks.ensemble import WorstCase
from robust_core.attacks.pgd import PGD
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.check import Cost, PlannedCase, check
from robust_core.evaluation.finding import Finding, NextAttack, graded
from robust_core.evaluation.variants import (
    has_parameter,
    in_same_threat_model,
    other_loss,
    scaled,
    suggested,
    takes_one_step,
    with_members,
)
from robust_core.models.guard import masking_parts

WARN_ABOVE = 0.01  # share of the images that gives a warning


def _blind_attacks(attack: Attack, effort: float) -> list[Attack]:
    queries, samples = scaled(effort, 50, 10), scaled(effort, 32, 8)
    return [
        in_same_threat_model(attack, "random_search", noise="corner", num_queries=queries),
        in_same_threat_model(attack, "square", num_queries=scaled(effort, 1000, 100)),
        in_same_threat_model(attack, "spsa", num_steps=scaled(effort, 10, 3), num_samples=samples),
    ]


def _of_blind_attacks(case: PlannedCase) -> Cost:
    if not has_parameter(case.attack, "epsilon"):
        return Cost()
    return case.evaluations(*_blind_attacks(case.attack, case.effort))


@check(
    "transfer",
    title="Transfer from another model",
    reason="an adversarial example of another model transfers",
    order=180,
    rank=5,
    cost=lambda case: case.evaluations(case.attack),
)
def check_transfer(case: ReliabilityCase) -> Finding | None:
    """Adversarial examples of another model should not be stronger than the direct attack."""
    if case.transfer_model is None or not case.has("epsilon"):
        return None
    attack = _for_another(case.attack, case.transfer_model)
    found = case.transferred(attack, case.transfer_model)
    following = suggested(attack, transfer=True)
    return _beaten("transfer", case, {"the attack on another model": found}, following)


def _for_another(attack: Attack, surrogate: nn.Module) -> Attack:
    """Return the attack for another model: BPDA through the parts that it declares, if any."""
    if isinstance(attack, WorstCase):
        return with_members(attack, lambda member: _for_another(member, surrogate))
    if not isinstance(attack, BPDA):
        return attack
    name = "bpda" if masking_parts(surrogate) else "pgd"
    return attack_from(name, attack.model_dump(include=set(PGD.model_fields)))


@check(
    "black_box",
    title="Gradient-free attacks",
    reason="an attack without gradients fools the model",
    order=190,
    rank=1,
    cost=_of_blind_attacks,
)
def check_black_box(case: ReliabilityCase) -> Finding | None:
    """Black-box attacks should not be stronger than white-box ones.

    Not for attacks without epsilon (rotations), which share no threat model with the others.
    """
    if not case.has("epsilon"):
        return None
    attacks = _blind_attacks(case.attack, case.effort)
    found = {attack_title(attack.name): case.direct(attack) for attack in attacks}
    return _beaten("black_box", case, found, suggested(case.other("square")))


def _listed(names: list[str]) -> str:
    """Return "Square", "random search and Square" or "random search, Square and SPSA"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _beaten(
    name: str,
    case: ReliabilityCase,
    found: dict[str, RobustnessReport],
    following: NextAttack | None,
) -> Finding:
    """Return the finding on images that other attacks, by name, fooled and the attack did not."""
    remaining = case.report(case.attack).robust_correct
    broken = {other: ~report.robust_correct & remaining for other, report in found.items()}
    names = _listed([other for other, fooled in broken.items() if bool(fooled.any())])
    missed = torch.stack(list(broken.values())).any(dim=0)
    not_finite = torch.stack([report.not_finite for report in found.values()]).any(dim=0)
    share = float(missed.float().mean())
    where, why, advice = _why_missed(case, missed, not_finite)
    return graded(
        name,
        share,
        warn_above=case.warn_above(WARN_ABOVE),
        fail_above=case.alarm_above(0.05),
        ok=f"The attack is not beaten by {' or '.join(found)}.",
        otherwise=f"{where}, {names} fooled the model on {case.images(share)} where the attack did "
        f"not: {why}.",
        advice=advice,
        cause=f"under {names}",
        next_attack=following,
    )


def _why_missed(case: ReliabilityCase, missed: Tensor, not_finite: Tensor) -> tuple[str, str, str]:
    """Return where the attack missed adversarial examples, the likeliest cause, and advice.

    Masked gradients are named only if nothing else explains it: a single step, too few steps,
    outputs that are not finite, the loss.
    """
    attack, within = case.attack, "In the same threat model"
    share = float(missed.float().mean())
    if takes_one_step(attack):
        advice = "Take more steps before suspecting the gradients."
        return within, "one step is a weak attack", advice
    if share <= WARN_ABOVE:
        advice = "Report the worst case over both, and give the attack more queries."
        return within, "it did not search long enough", advice
    if float((missed & ~not_finite).float().mean()) <= WARN_ABOVE:
        return within, "the outputs there are not finite", "Look for an overflow."
    if _finds(case.longer(), case, missed):
        length = "steps" if case.has("num_steps") else "queries"
        return within, f"it takes too few {length}", f"Report the attack with more {length}."
    loss = other_loss(case.attack)
    if loss is not None and _finds(case.changed(loss=loss), case, missed):
        words = LOSS_WORDS[loss]
        return within, "its loss is too weak", f"Report the attack with {words}."
    if attack.gradient_free:
        advice = "Report the worst case over both, and give the attack more queries."
        return within, "it did not search long enough", advice
    return (
        "Without gradients of this model",
        "the gradients are masked",
        "Report the worst case over both, and find what masks the gradients.",
    )


def _finds(longer: Attack | None, case: ReliabilityCase, missed: Tensor) -> bool:
    """Return whether the longer attack fools the model on the images that the attack missed."""
    if longer is None:
        return False
    still = missed & case.report(longer).robust_correct
    return float(still.float().mean()) <= WARN_ABOVE
