"""Checks of the outputs and gradients that the model gives an attack."""

import torch

from robust_core.attacks.base import Attack
from robust_core.attacks.bpda import BPDA
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.description import LOSS_WORDS
from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.chance import (
    FEWEST_IMAGES,
    chance_level,
    chance_sentence,
    class_coverage,
)
from robust_core.evaluation.check import Cost, check
from robust_core.evaluation.finding import Finding, Severity, graded
from robust_core.evaluation.outputs import are_probabilities, look_like_sigmoid
from robust_core.evaluation.variants import averaging, suggested
from robust_core.gradients import input_gradient, repeatable_noise
from robust_core.models.guard import masking_parts
from robust_core.models.modes import evaluation_mode
from robust_core.units import percent

MOST_PROBABILITIES = 0.5  # share of the images whose outputs may be distributions by chance
EOT_SAMPLES = 10  # passes that an attack on a stochastic model should average
TINY_GRADIENT = 1e-12  # L2 norm; cross-entropy of a sure, sound model goes down to 1e-9


@check(
    "logits",
    title="Outputs",
    reason="the outputs are not finite logits",
    order=10,
    rank=15,
    cost=lambda case: Cost(queries=1),
)
def check_logits(case: ReliabilityCase) -> Finding:
    """Outputs should be finite logits; probabilities and overflow hide gradients."""
    logits = case.predict()
    broken = float((~torch.isfinite(logits)).any(dim=1).float().mean())
    if broken > 0:
        sentence = f"The outputs for {case.images(broken)} are not finite numbers."
        return Finding("logits", Severity.FAIL, broken, 0.0, sentence, "Look for an overflow.")
    share = float(are_probabilities(logits).float().mean())
    if share <= MOST_PROBABILITIES and look_like_sigmoid(logits, case.model):
        sentence = "All outputs lie in [0, 1]: they look like probabilities of a sigmoid, "
        sentence += "whose gradient vanishes."
        advice = "Return the values before the sigmoid, if there is one."
        return Finding("logits", Severity.WARN, 1.0, MOST_PROBABILITIES, sentence, advice)
    return graded(
        "logits",
        share,
        warn_above=MOST_PROBABILITIES,
        fail_above=case.alarm_above(0.99),
        ok="The outputs are finite logits, not probabilities.",
        otherwise="The outputs are probabilities: cross-entropy applies softmax a second time, and "
        "its gradient vanishes.",
        advice="Return the values before the softmax.",
    )


@check(
    "finite_outputs",
    title="Outputs under attack",
    reason="the outputs under attack are not finite",
    order=200,
    rank=16,
)
def check_finite_outputs(case: ReliabilityCase) -> Finding:
    """Outputs should be finite under every attack: others count as misclassified."""
    share = float(case.not_finite.float().mean())
    return graded(
        "finite_outputs",
        share,
        warn_above=0.0,
        fail_above=case.alarm_above(0.05),
        ok="The outputs are finite under every attack.",
        otherwise=f"Under attack, the outputs for {case.images(share)} are not finite, "
        "which counts as misclassified.",
        advice="Look for an overflow.",
    )


@check(
    "classes",
    title="Classes covered",
    reason="the images cover few classes",
    order=30,
    rank=17,
)
def check_classes(case: ReliabilityCase) -> Finding | None:
    """The images should cover many classes: on one class, a constant classifier is perfect.

    N random images of K classes cover K (1 - (1 - 1/K)^N) classes in expectation.
    """
    num_images, num_classes = len(case.x), case.predict().shape[1]
    if num_images == 1:
        return None
    covered = len(case.y.unique())
    expected = num_classes * (1.0 - (1.0 - 1.0 / num_classes) ** num_images)
    missing = 1.0 - min(covered / expected, 1.0)
    return graded(
        "classes",
        missing,
        warn_above=0.4,
        fail_above=0.4 if covered == 1 and num_images >= 5 else 1.0,
        ok=f"The images cover {covered} of the {num_classes} classes.",
        otherwise=f"The {num_images} images cover only {covered} of the {num_classes} classes: "
        "a classifier that always predicts the same class may look perfect on them.",
        advice="Use a stratified sample instead of the first images of a sorted set.",
    )


@check(
    "attacked_images",
    title="Images to attack",
    reason="the image is misclassified without an attack",
    order=20,
    rank=20,
)
def check_attacked_images(case: ReliabilityCase) -> Finding | None:
    """Misclassified images are not attacked: at least one image must be correct."""
    if bool(case.correct.any()):
        return None
    sentence = case.phrase(
        one="The image is misclassified without an attack",
        many="Every image is misclassified without an attack",
    )
    return Finding(
        "attacked_images",
        Severity.WARN,
        1.0,
        1.0 - 1.0 / len(case.x),
        f"{sentence}: nothing was attacked, so nothing can be checked.",
        "Check labels, pixel range and weights, or use other images.",
    )


@check(
    "predictions",
    title="Predicted classes",
    reason="the model predicts few classes",
    order=50,
    rank=19,
)
def check_predictions(case: ReliabilityCase) -> Finding | None:
    """A model that predicts only a few classes has learnt too little to be evaluated."""
    if len(case.x) < FEWEST_IMAGES:
        return None
    return class_coverage(case.predict().argmax(dim=1), case.y)


@check(
    "chance",
    title="Chance level",
    reason="the model is at chance level",
    order=40,
    rank=18,
)
def check_chance(case: ReliabilityCase) -> Finding | None:
    """A model at chance cannot be robust: images that stay correct do so by luck."""
    number = len(case.x)
    if number < FEWEST_IMAGES:
        return None
    chance, correct = chance_level(case.y), int(case.correct.sum())
    sentence = chance_sentence(correct, number, chance)
    if not sentence:
        words = (
            f"Clean accuracy is {percent(correct / number, 1)}, above chance ({percent(chance)})."
        )
        return Finding("chance", Severity.OK, correct / number, chance, words)
    advice = "Train the model before evaluating its robustness, or check labels and pixel range."
    return Finding("chance", Severity.WARN, correct / number, chance, sentence, advice)


@check(
    "deterministic",
    title="Deterministic outputs",
    reason="the model is stochastic and the attack does not average its passes",
    order=60,
    rank=14,
    cost=lambda case: Cost(queries=2),
    unit="logits",
)
def check_deterministic(case: ReliabilityCase) -> Finding:
    """A stochastic model must be attacked with EOT (expectation over transformation)."""
    moved, averaged, access = case.spread, case.attack.averaged_passes, case.access
    if moved > 0 and averaged > 1:
        sentence = f"The model is stochastic; the attack averages {averaged} passes per {access}."
        return Finding("deterministic", Severity.OK, moved, 0.0, sentence)
    how, advice = f"uses one pass per {access}", f"Average many passes per {access} (EOT)."
    if averaging(case.attack, 2) is None:
        how, advice = "cannot average several passes", "Use an attack that averages passes (EOT)."
    return graded(
        "deterministic",
        moved,
        warn_above=0.0,
        fail_above=0.0,
        ok="The same image gives the same output each time.",
        otherwise=f"The model is stochastic, but the attack {how}.",
        advice=advice,
        next_attack=suggested(averaging(case.attack, EOT_SAMPLES), case.other("adaptive")),
    )


@check(
    "gradients",
    title="Gradients",
    reason="the gradients are zero or not finite",
    order=70,
    rank=4,
    cost=lambda case: Cost(passes=2),
)
def check_gradients(case: ReliabilityCase) -> Finding | None:
    """Zero or non-finite gradients give a gradient attack no direction.

    They are gradients of the loss of the attack, or of the margin if it has none.
    """
    if case.attack.gradient_free:
        return None
    loss = _own_loss(case.attack)
    tiny, infinite = _without_direction(case, loss)
    advice = "Attack with BPDA through the part that masks it, or without gradients (Square)."
    other = case.like("bpda") if masking_parts(case.attacked) else case.other("square")
    if tiny + infinite > 0 and loss != "margin" and sum(_without_direction(case, "margin")) == 0:
        advice = "Use the margin loss, whose gradient is finite and not zero."
        other = case.changed(loss="margin") if case.has("loss") else case.like("pgd")
    return graded(
        "gradients",
        tiny + infinite,
        warn_above=case.warn_above(0.02),
        fail_above=case.alarm_above(0.2),
        ok=f"The gradients of {LOSS_WORDS[loss]} are finite and not zero.",
        otherwise=f"The gradient of {LOSS_WORDS[loss]} is {_blindness(case, tiny, infinite)}: a "
        "gradient attack fails there, which does not make the model robust.",
        advice=advice,
        next_attack=suggested(other),
    )


def _own_loss(attack: Attack) -> str:
    loss = attack.model_dump().get("loss", "margin")
    return "dlr" if loss == "targeted_dlr" else loss


def _without_direction(case: ReliabilityCase, loss: str) -> tuple[float, float]:
    """Return the shares of images with a tiny gradient of `loss` and with one not finite."""
    model = case.attacked
    if isinstance(case.attack, BPDA):
        model = case.attack.substituted(model)
    with evaluation_mode(model), repeatable_noise(case.attack.seed, case.x.device):
        at = input_gradient(model, case.x, Criterion(loss, case.y))
    length = at.gradient.flatten(1).norm(dim=1)
    tiny = float((length < TINY_GRADIENT).float().mean())
    return tiny, float((~torch.isfinite(length)).float().mean())


def _blindness(case: ReliabilityCase, tiny: float, infinite: float) -> str:
    kinds = (("zero", tiny), ("not finite", infinite))

    return " and ".join(f"{kind} for {case.images(share)}" for kind, share in kinds if share > 0)
