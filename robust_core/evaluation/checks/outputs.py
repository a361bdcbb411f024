"""Checks of what the model gives an attacker to work with: its outputs and gradients."""

import torch

from robust_core.attacks.base import Attack
from robust_core.attacks.bpda import BPDA
from robust_core.attacks.goal import Goal
from robust_core.evaluation.chance import (
    FEWEST_JUDGED,
    chance_level,
    chance_sentence,
    judge_predictions,
)
from robust_core.evaluation.finding import Finding, Severity, graded
from robust_core.evaluation.outputs import are_probabilities, look_like_sigmoid
from robust_core.evaluation.subject import Subject
from robust_core.gradients import evaluation_mode, input_gradient, repeatable_noise

MOST_PROBABILITIES = 0.5  # share of the images whose outputs may be distributions by chance
TINY_GRADIENT = 1e-12  # L2 norm; cross-entropy of a sure, sound model goes down to 1e-9
LOSS_WORDS = {
    "cross_entropy": "cross-entropy",
    "margin": "the margin",
    "dlr": "the difference of logits ratio",
    "targeted_dlr": "the targeted difference of logits ratio",
}


def check_logits(subject: Subject) -> Finding:
    """Outputs should be finite logits; probabilities and overflow hide gradients."""
    logits = subject.predict()
    broken = float((~torch.isfinite(logits)).any(dim=1).float().mean())
    if broken > 0:
        sentence = f"The outputs for {subject.images(broken)} are not finite numbers."
        return Finding("logits", Severity.FAIL, broken, 0.0, sentence, "Look for an overflow.")
    share = float(are_probabilities(logits).float().mean())
    if share <= MOST_PROBABILITIES and look_like_sigmoid(logits, subject.model):
        sentence = "The outputs all lie in [0, 1]: they look like probabilities of a sigmoid, "
        sentence += "whose gradient shrinks."
        advice = "Return the values before the sigmoid, if there is one."
        return Finding("logits", Severity.WARN, 1.0, MOST_PROBABILITIES, sentence, advice)
    return graded(
        "logits",
        share,
        warn_above=MOST_PROBABILITIES,
        fail_above=subject.alarm_above(0.99),
        ok="The outputs are finite logits, not probabilities.",
        otherwise="The outputs are probabilities: cross-entropy takes their softmax once more, and "
        "its gradient shrinks.",
        advice="Return the values before the softmax.",
    )


def check_finite_outputs(subject: Subject) -> Finding:
    """Outputs should be finite numbers under every attack: those that are not count as fallen."""
    share = float(subject.not_finite.float().mean())
    return graded(
        "finite_outputs",
        share,
        warn_above=0.0,
        fail_above=subject.alarm_above(0.05),
        ok="Under every attack the outputs are finite numbers.",
        otherwise=f"Once attacked, the outputs for {subject.images(share)} are not finite numbers, "
        "which counts as fallen.",
        advice="Look for an overflow.",
    )


def check_classes(subject: Subject) -> Finding | None:
    """The images should be of many classes: of one alone, a constant classifier is perfect.

    Expected of N images drawn from K classes are K (1 - (1 - 1/K)^N) classes.
    """
    num_images, num_classes = len(subject.x), subject.predict().shape[1]
    if num_images == 1:
        return None
    covered = len(subject.y.unique())
    expected = num_classes * (1.0 - (1.0 - 1.0 / num_classes) ** num_images)
    missing = 1.0 - min(covered / expected, 1.0)
    return graded(
        "classes",
        missing,
        warn_above=0.4,
        fail_above=0.4 if covered == 1 and num_images >= 5 else 1.0,
        ok=f"The images are of {covered} of the {num_classes} classes.",
        otherwise=f"The {num_images} images are of {covered} of the {num_classes} classes only: "
        "a classifier that always says the same may look perfect on them.",
        advice="Take a stratified sample instead of the first images of a sorted set.",
    )


def check_attacked_images(subject: Subject) -> Finding | None:
    """Images that are wrong from the start are not attacked: there has to be another one."""
    if bool(subject.correct.any()):
        return None
    sentence = subject.told(
        one="The model is wrong about the image without any attack",
        many="The model is wrong about every image without any attack",
    )
    return Finding(
        "attacked_images",
        Severity.WARN,
        1.0,
        1.0 - 1.0 / len(subject.x),
        f"{sentence}: nothing was attacked, so nothing can be checked.",
        "Check the labels, the range of the pixels and the weights, or take other images.",
    )


def check_predictions(subject: Subject) -> Finding | None:
    """A model that always says the same few classes has nothing to defend."""
    if len(subject.x) < FEWEST_JUDGED:
        return None
    return judge_predictions(subject.predict().argmax(dim=1), subject.y)


def check_chance(subject: Subject) -> Finding | None:
    """A model at chance cannot be robust: what stands under attack is luck."""
    number = len(subject.x)
    if number < FEWEST_JUDGED:
        return None
    chance, correct = chance_level(subject.y), int(subject.correct.sum())
    sentence = chance_sentence(correct, number, chance)
    if not sentence:
        words = f"Without an attack {correct / number:.1%} are right, above chance ({chance:.0%})."
        return Finding("chance", Severity.OK, correct / number, chance, words)
    advice = "Train the model before judging its robustness, or check labels and pixel range."
    return Finding("chance", Severity.WARN, correct / number, chance, sentence, advice)


def check_deterministic(subject: Subject) -> Finding:
    """A model that answers differently each time must be attacked with EOT."""
    moved, averaged, look = subject.spread, subject.attack.averaged_passes, subject.look
    if moved > 0 and averaged > 1:
        sentence = f"The output is random, and the attack averages {averaged} passes per {look}."
        return Finding("deterministic", Severity.OK, moved, 0.0, sentence)
    how, advice = f"looks once per {look}", f"Average many passes per {look} (EOT)."
    if subject.averaging(2) is None:
        how, advice = "cannot average several passes", "Use an attack that averages passes (EOT)."
    return graded(
        "deterministic",
        moved,
        warn_above=0.0,
        fail_above=0.0,
        ok="The same image gives the same output each time.",
        otherwise=f"The same image gives different outputs, but the attack {how}.",
        advice=advice,
    )


def check_gradients(subject: Subject) -> Finding | None:
    """Zero or non-finite gradients give an attacker nothing to climb, if he needs any.

    They are those of the loss that the attack names, and of the margin where it names none.
    """
    if subject.attack.gradient_free:
        return None
    loss = _own_loss(subject.attack)
    tiny, infinite = _without_direction(subject, loss)
    advice = "Pass the gradient through the part that hides it (BPDA), or do without (Square)."
    if tiny + infinite > 0 and loss != "margin" and sum(_without_direction(subject, "margin")) == 0:
        advice = "Attack the margin instead, whose gradient is there."
    return graded(
        "gradients",
        tiny + infinite,
        warn_above=subject.warn_above(0.02),
        fail_above=subject.alarm_above(0.2),
        ok=f"The gradients of {LOSS_WORDS[loss]} are finite and not zero.",
        otherwise=f"The gradient of {LOSS_WORDS[loss]} is {_blindness(subject, tiny, infinite)}: a "
        "gradient attack is blind there, which is no robustness.",
        advice=advice,
    )


def _own_loss(attack: Attack) -> str:
    loss = attack.model_dump().get("loss", "margin")
    return "dlr" if loss == "targeted_dlr" else loss


def _without_direction(subject: Subject, loss: str) -> tuple[float, float]:
    """Return the shares of images with a tiny gradient of `loss` and with one not finite."""
    model = subject.attacked
    if isinstance(subject.attack, BPDA):
        model = subject.attack.twin(model)
    with evaluation_mode(model), repeatable_noise(subject.attack.seed, subject.x.device):
        at = input_gradient(model, subject.x, Goal(loss, subject.y))
    length = at.gradient.flatten(1).norm(dim=1)
    tiny = float((length < TINY_GRADIENT).float().mean())
    return tiny, float((~torch.isfinite(length)).float().mean())


def _blindness(subject: Subject, tiny: float, infinite: float) -> str:
    kinds = (("zero", tiny), ("not finite", infinite))
    return " and ".join(f"{kind} at {subject.images(share)}" for kind, share in kinds if share > 0)
