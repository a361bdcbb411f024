"""Checks of what was attacked: the whole evaluated model, or an easier surrogate or part?"""

from robust_core.attacks.adaptive import Adaptive
from robust_core.attacks.base import Attack
from robust_core.attacks.bpda import BPDA
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.check import Cost, PlannedCase, check
from robust_core.evaluation.finding import Finding, Severity, graded
from robust_core.evaluation.variants import (
    averaging,
    scaled,
    suggested,
)
from robust_core.models.guard import masking_parts
from robust_core.units import percent

WARN_ABOVE = 0.01  # share of the images that gives a warning
TRANSFER_GAP = 0.05  # share of the images that turns the warning into a failure
THROUGH = "was computed through the test-time defence"
EOT_SAMPLES = (5, 20)  # passes per gradient, at full effort


def _averaging_attacks(attack: Attack, effort: float) -> list[Attack]:
    found = [averaging(attack, scaled(effort, full, 5)) for full in EOT_SAMPLES]
    return [one for one in found if one is not None]


def _of_all_views(case: PlannedCase) -> Cost:
    fewer = case.stochastic and case.attack.averaged_passes < case.eot_samples
    return case.evaluations(averaging(case.attack, case.eot_samples) if fewer else None)


def _of_averaging(case: PlannedCase) -> Cost:
    attacks = _averaging_attacks(case.attack, case.effort) if case.stochastic else []
    return case.evaluations(*attacks)


@check(
    "attacked_model",
    title="Attacked model",
    reason="the attack was computed on a surrogate or on fewer views",
    order=90,
    rank=2,
    cost=_of_all_views,
)
def check_attacked_model(case: ReliabilityCase) -> Finding:
    """Robust accuracy is that of a model only if the attack was computed on that model.

    An attack computed on a surrogate, or on fewer views of a stochastic model, is a transfer
    attack: it gives a loose upper bound on the robust accuracy of the evaluated model.
    """
    if case.surrogate is not None:
        return _elsewhere(
            case,
            case.direct(case.attack).robust_accuracy,
            "The attack was computed on a surrogate instead of the evaluated model",
            "computed on the evaluated model, it",
            "Attack the evaluated model itself.",
            case.attack,
        )
    averaged, decisive = case.attack.averaged_passes, case.eot_samples
    if averaged < decisive and case.stochastic:
        return _fewer_views(case, averaged, decisive)
    sentence = "The attack was computed on the evaluated model."
    return Finding("attacked_model", Severity.OK, 0.0, 0.0, sentence)


def _fewer_views(case: ReliabilityCase, averaged: int, decisive: int) -> Finding:
    fact = f"The attack averaged {averaged} of the {decisive} views averaged per prediction"
    more = averaging(case.attack, decisive)
    if more is None:
        advice = "Use an attack that averages passes (EOT)."
        sentence = f"{fact}, and cannot average more."
        following = suggested(case.other("adaptive"))
        return Finding(
            "attacked_model", Severity.WARN, 0.0, 0.0, sentence, advice, next_attack=following
        )
    return _elsewhere(
        case,
        case.direct(more).robust_accuracy,
        fact,
        f"with {more.averaged_passes}, it",
        f"Average {decisive} passes per {case.access} (EOT).",
        more,
    )


def _elsewhere(
    case: ReliabilityCase,
    direct: float,
    fact: str,
    directly: str,
    advice: str,
    following: Attack,
) -> Finding:
    """Return a warning, or a failure if the attack on the evaluated model itself is stronger."""
    gap = case.robust_accuracy - direct
    severity = Severity.FAIL if gap > case.alarm_above(TRANSFER_GAP) else Severity.WARN
    sentence = f"{fact}: {directly} {case.compared(direct)}."
    cause = "once the evaluated model itself is attacked"
    return Finding(
        "attacked_model",
        severity,
        gap,
        0.0,
        sentence,
        advice,
        cause=cause,
        next_attack=suggested(following),
    )


@check(
    "through_defence",
    title="Through the defence",
    reason="an attack through the whole defence fools the model",
    order=100,
    rank=3,
    cost=lambda case: case.evaluations(case.attack),
)
def check_through_defence(case: ReliabilityCase) -> Finding | None:
    """A test-time defence must be part of the attacked model.

    There is one if the model has an inference mode, or if it declares parts that mask its gradient;
    these have to be attacked with BPDA, or without gradients.

    Tramer et al., "On Adaptive Attacks to Adversarial Example Defenses", NeurIPS 2020,
    arXiv:2002.08347, section 3.
    """
    masked = bool(masking_parts(case.model))
    if not (case.inference or masked):
        return None
    attack = case.attack
    passes_through = isinstance(attack, Adaptive) or (isinstance(attack, BPDA) and not attack.part)
    passing = attack.gradient_free or passes_through
    hidden = masked and not passing
    if case.surrogate is None and not hidden:
        sentence = f"The attack {_way_through(attack) if masked else THROUGH}."
        return Finding("through_defence", Severity.OK, 0.0, 0.0, sentence)
    through = (_passing_through(case) if hidden else case.direct(attack)).robust_accuracy
    if case.surrogate is None:
        return _not_through(
            case,
            through,
            ok="BPDA through the part of the model that may mask its gradient",
            otherwise="A part of the model masks its gradient from this attack; BPDA through it",
            advice="Report the attack with BPDA.",
            following=case.like("bpda"),
            cause="once BPDA attacks through the part that masks the gradient",
        )
    return _not_through(
        case,
        through,
        ok="The attack ignored the test-time defence; computed through it, it",
        otherwise="The attack ignored the test-time defence; computed through it, it",
        advice="Attack through the whole defence (with BPDA where it masks the gradient).",
        following=case.like("bpda") if hidden else case.attack,
        cause="once the attack is computed through the test-time defence",
    )


def _passing_through(case: ReliabilityCase) -> RobustnessReport:
    """Return the evaluation under the same attack with the gradients of BPDA.

    Nothing else differs, so that a weak attack is not mistaken for a masked gradient.
    """
    if isinstance(case.attack, BPDA):
        return case.direct(case.changed(part="", backward="identity"))
    return case.transferred(case.attack, BPDA().substituted(case.model))


def _way_through(attack: Attack) -> str:
    """Return how an attack gets through the masking parts of a model."""
    if attack.gradient_free:
        return "uses outputs only, so no part of the model can mask a gradient from it"
    return "uses BPDA through the part of the model that masks its gradient"


def _not_through(
    case: ReliabilityCase,
    through: float,
    *,
    ok: str,
    otherwise: str,
    advice: str,
    following: Attack,
    cause: str,
) -> Finding:
    gap = case.robust_accuracy - through
    stronger = "hardly stronger" if gap > 0 else "not stronger"
    return graded(
        "through_defence",
        gap,
        warn_above=case.warn_above(WARN_ABOVE),
        fail_above=case.alarm_above(0.05),
        ok=f"{ok} is {stronger}.",
        otherwise=f"{otherwise} {case.compared(through)}.",
        advice=advice,
        cause=cause,
        next_attack=suggested(following),
    )


@check(
    "randomness",
    title="More averaged passes",
    reason="averaging several passes fools the model",
    order=170,
    rank=11,
    cost=_of_averaging,
)
def check_randomness(case: ReliabilityCase) -> Finding | None:
    """Robust accuracy of a stochastic model may drop as more passes are averaged per gradient."""
    if not case.stochastic:
        return None
    left = {
        attack.averaged_passes: case.report(attack).robust_accuracy
        for attack in _averaging_attacks(case.attack, case.effort)
    }
    if not left:
        return None
    most = max(left)
    access, noise = case.access, "the gradient"
    if case.attack.gradient_free:
        noise = "the outputs"
    listed = ", ".join(f"{percent(share, 1)} with {number}" for number, share in left.items())
    return graded(
        "randomness",
        case.robust_accuracy - min(left.values()),
        warn_above=case.warn_above(0.02),
        fail_above=case.alarm_above(0.10),
        ok=f"Averaging up to {most} passes per {access} changes little.",
        otherwise=case.phrase(
            one=f"With up to {most} passes per {access} the attack succeeds",
            many=f"Robust accuracy is {percent(case.robust_accuracy, 1)}, but {listed} passes per "
            f"{access}",
        )
        + f": part of the apparent robustness is noise in {noise}.",
        advice="Report robust accuracy with enough EOT samples.",
        cause=f"once the attack averages {most} passes",
        next_attack=suggested(averaging(case.attack, most)),
    )
