"""Checks of what was attacked: the judged model, all of it, or something easier to withstand?"""

import torch
from torch import Tensor, nn

from robust_core.attacks.adaptive import Adaptive
from robust_core.attacks.base import Attack, attack_from
from robust_core.attacks.bpda import BPDA
from robust_core.attacks.ensemble import WorstCase
from robust_core.attacks.pgd import PGD
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.checks.outputs import LOSS_WORDS
from robust_core.evaluation.finding import Finding, Severity, graded
from robust_core.evaluation.subject import Subject, takes_one_step, with_members
from robust_core.models.guard import masking_parts

WARN_ABOVE = 0.01  # share of the images that makes a doubt
TRANSFER_GAP = 0.05  # share of the images that makes a doubt an alarm
THROUGH = "was made through the defence at test time"
EOT_SAMPLES = (5, 20)  # passes per gradient, at full effort


def check_attacked_model(subject: Subject) -> Finding:
    """A number is about a model only if the attack was made on that very model.

    Images made for another model, or for another number of views of a random one, are a transfer
    attack: an upper bound that says little about how robust the judged model is.
    """
    if subject.crafted_on is not None:
        return _elsewhere(
            subject,
            subject.direct(subject.attack).robust_accuracy,
            "The attack was made on another model than the one that is judged",
            "made on the judged one, it",
            "Attack the judged model itself.",
        )
    averaged, judged = subject.attack.averaged_passes, subject.eot_samples
    if averaged < judged and subject.random:
        return _fewer_views(subject, averaged, judged)
    sentence = "The attack was made on the very model that is judged."
    return Finding("attacked_model", Severity.OK, 0.0, 0.0, sentence)


def _fewer_views(subject: Subject, averaged: int, judged: int) -> Finding:
    fact = f"The attack looked at {averaged} of the {judged} views whose mean decides"
    more = subject.averaging(judged)
    if more is None:
        advice = "Use an attack that averages passes (EOT)."
        sentence = f"{fact}, and cannot look at more."
        return Finding("attacked_model", Severity.WARN, 0.0, 0.0, sentence, advice)
    return _elsewhere(
        subject,
        subject.direct(more).robust_accuracy,
        fact,
        f"with {more.averaged_passes}, it",
        f"Average {judged} passes per {subject.look} (EOT).",
    )


def _elsewhere(subject: Subject, direct: float, fact: str, settled: str, advice: str) -> Finding:
    """Return a doubt in any case, and an alarm where the attack on what is judged finds more."""
    gap = subject.robust_accuracy - direct
    severity = Severity.FAIL if gap > subject.alarm_above(TRANSFER_GAP) else Severity.WARN
    sentence = f"{fact}: {settled} {subject.left(direct)}."
    cause = "once the evaluated model itself is attacked, as it decides"
    return Finding("attacked_model", severity, gap, 0.0, sentence, advice, cause=cause)


def check_through_defence(subject: Subject) -> Finding | None:
    """A defence at test time must be in the way of the attack, not beside it.

    It is there where the network is used in a way of its own (an inference), or where the model
    names parts that mask its gradient; these have to be passed through by BPDA, or done without.

    Tramer et al., "On Adaptive Attacks to Adversarial Example Defenses", NeurIPS 2020,
    arXiv:2002.08347, section 3.
    """
    masked = bool(masking_parts(subject.model))
    if not (subject.inference or masked):
        return None
    attack = subject.attack
    passes_through = isinstance(attack, Adaptive) or (isinstance(attack, BPDA) and not attack.part)
    passing = attack.gradient_free or passes_through
    hidden = masked and not passing
    if subject.crafted_on is None and not hidden:
        sentence = f"The attack {_way_through(attack) if masked else THROUGH}."
        return Finding("through_defence", Severity.OK, 0.0, 0.0, sentence)
    through = (_passing_through(subject) if hidden else subject.direct(attack)).robust_accuracy
    if subject.crafted_on is None:
        return _not_through(
            subject,
            through,
            ok="BPDA, which passes through the part of the model that may hide its gradient,",
            otherwise="A part of the model hides its gradient from this attack; BPDA, which passes "
            "through it,",
            advice="Report the attack with BPDA.",
            cause="once the attack goes through the part that hides the gradient",
        )
    return _not_through(
        subject,
        through,
        ok="The attack went around the defence at test time, but made through it, it",
        otherwise="The attack went around the defence at test time; made through it, it",
        advice="Attack through the whole defence (BPDA where it hides the gradient).",
        cause="once the attack goes through the defence at test time",
    )


def _passing_through(subject: Subject) -> RobustnessReport:
    """Return the evaluation under the same attack with the gradients that BPDA follows.

    Nothing else differs, so that a weak attack is not taken for a hidden gradient.
    """
    if isinstance(subject.attack, BPDA):
        return subject.direct(subject.changed(part="", backward="identity"))
    return subject.transferred(subject.attack, BPDA().twin(subject.model))


def _way_through(attack: Attack) -> str:
    """Return how an attack gets through the masking parts of a model."""
    if attack.gradient_free:
        return "asks for outputs only, so no part of the model can hide a gradient from it"
    return "passes through the part of the model that hides its gradient"


def _not_through(
    subject: Subject, through: float, *, ok: str, otherwise: str, advice: str, cause: str
) -> Finding:
    gap = subject.robust_accuracy - through
    much = "hardly more" if gap > 0 else "nothing more"
    return graded(
        "through_defence",
        gap,
        warn_above=subject.warn_above(WARN_ABOVE),
        fail_above=subject.alarm_above(0.05),
        ok=f"{ok} finds {much}.",
        otherwise=f"{otherwise} {subject.left(through)}.",
        advice=advice,
        cause=cause,
    )


def check_randomness(subject: Subject) -> Finding | None:
    """For a random model accuracy may fall as more passes are averaged per gradient."""
    if not subject.random:
        return None
    attacks = [subject.averaging(subject.count(full, 5)) for full in EOT_SAMPLES]
    left = {
        attack.averaged_passes: subject.report(attack).robust_accuracy
        for attack in attacks
        if attack is not None
    }
    if not left:
        return None
    most = max(left)
    look, noise = subject.look, "the gradient"
    if subject.attack.gradient_free:
        noise = "the answers"
    listed = ", ".join(f"{share:.1%} with {number}" for number, share in left.items())
    return graded(
        "randomness",
        subject.robust_accuracy - min(left.values()),
        warn_above=subject.warn_above(0.02),
        fail_above=subject.alarm_above(0.10),
        ok=f"Averaging up to {most} passes per {look} changes little.",
        otherwise=subject.told(
            one=f"With up to {most} passes per {look} the image falls",
            many=f"Accuracy is {subject.robust_accuracy:.1%}, but {listed} passes per {look}",
        )
        + f": part of the robustness is noise in {noise}.",
        advice="Report the number with enough EOT samples.",
        cause=f"once the attack averages {most} passes",
    )


def check_transfer(subject: Subject) -> Finding | None:
    """Images made for another model should not beat the attack on this one."""
    if subject.surrogate is None or not subject.has("epsilon"):
        return None
    attack = _for_another(subject.attack, subject.surrogate)
    found = subject.transferred(attack, subject.surrogate)
    return _beaten("transfer", subject, {"the attack on another model": found})


def _for_another(attack: Attack, surrogate: nn.Module) -> Attack:
    """Return the attack for another model: BPDA knows only the parts that this one names."""
    if isinstance(attack, WorstCase):
        return with_members(attack, lambda member: _for_another(member, surrogate))
    if not isinstance(attack, BPDA):
        return attack
    name = "bpda" if masking_parts(surrogate) else "pgd"
    return attack_from(name, attack.model_dump(include=set(PGD.model_fields)))


def check_black_box(subject: Subject) -> Finding | None:
    """An attacker who sees outputs only should not beat one who sees gradients.

    Not asked of attacks whose ball is a form (rotations): there is none to share with them.
    """
    if not subject.has("epsilon"):
        return None
    attacks = [
        subject.other("random_search", noise="corner", num_queries=subject.count(50, 10)),
        subject.other("square", num_queries=subject.count(1000, 100)),
        subject.other("spsa", num_steps=subject.count(10, 3), num_samples=subject.count(32, 8)),
    ]
    found = {_word(attack.name): subject.direct(attack) for attack in attacks}
    return _beaten("black_box", subject, found)


def _beaten(name: str, subject: Subject, found: dict[str, RobustnessReport]) -> Finding:
    """Return what it says that other attacks, by their names, broke images that were left."""
    standing = subject.report(subject.attack).robust_correct
    broken = {other: ~report.robust_correct & standing for other, report in found.items()}
    names = " and ".join(other for other, fallen in broken.items() if bool(fallen.any()))
    missed = torch.stack(list(broken.values())).any(dim=0)
    not_finite = torch.stack([report.not_finite for report in found.values()]).any(dim=0)
    share = float(missed.float().mean())
    where, why, advice = _why_missed(subject, missed, not_finite)
    return graded(
        name,
        share,
        warn_above=subject.warn_above(WARN_ABOVE),
        fail_above=subject.alarm_above(0.05),
        ok=f"The attack in doubt is not beaten by {' or '.join(found)}.",
        otherwise=f"{where}, {names} broke {subject.images(share)}, which the attack in doubt left "
        f"standing: {why}.",
        advice=advice,
        cause=f"under {names}",
    )


def _why_missed(subject: Subject, missed: Tensor, not_finite: Tensor) -> tuple[str, str, str]:
    """Return where the attack in doubt missed images, why, and what to do: the likeliest cause.

    Gradients are blamed only where nothing else explains it: one step, too few of them, outputs
    that are no numbers, the loss.
    """
    attack, within = subject.attack, "In the same threat model"
    share = float(missed.float().mean())
    if takes_one_step(attack):
        advice = "Take more steps before suspecting the gradients."
        return within, "one step is a weak attack", advice
    if share <= WARN_ABOVE:
        advice = "Report the worst case over both, and give the attack more queries."
        return within, "it did not search long enough", advice
    if float((missed & ~not_finite).float().mean()) <= WARN_ABOVE:
        return within, "the outputs there are no finite numbers", "Look for an overflow."
    if _finds(subject.longer(), subject, missed):
        length = "steps" if subject.has("num_steps") else "queries"
        return within, f"it takes too few {length}", f"Report the attack with more {length}."
    loss = subject.other_loss
    if loss is not None and _finds(subject.changed(loss=loss), subject, missed):
        words = LOSS_WORDS[loss]
        return within, "its loss hides the weakness", f"Report the attack with {words}."
    if attack.gradient_free:
        advice = "Report the worst case over both, and give the attack more queries."
        return within, "it did not search long enough", advice
    return (
        "Without gradients of this model",
        "the gradients hide the weakness",
        "Report the worst case over both, and find what masks the gradients.",
    )


def _finds(longer: Attack | None, subject: Subject, missed: Tensor) -> bool:
    """Return whether the longer attack breaks the images that the attack in doubt missed."""
    if longer is None:
        return False
    still = missed & subject.report(longer).robust_correct
    return float(still.float().mean()) <= WARN_ABOVE


def _word(attack_name: str) -> str:
    return attack_name.replace("_", " ")
