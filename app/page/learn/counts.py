"""Measurements of the guided tours of accuracy, without an attack and under it."""

from dataclasses import replace

from app.page.learn.lesson import Measure
from app.page.learn.measured import Measured, each_model, model_name, points, sampled_images
from app.page.learn.work import report
from app.ui.image_picker import ChosenImage
from app.ui.units import percent
from app.ui.words import seeded_words
from robust_core.checkpoints.catalog import CheckpointInfo


def clean_accuracy(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the accuracy of the first model without an attack."""
    share = report(infos[0], wanted.attack, wanted.number).clean_accuracy
    images = sampled_images(wanted.number)
    words = f"{model_name(infos[0])} classifies **{percent(share)}** of {images} correctly"
    return Measured(share, f"{words}, without an attack.")


def accuracy(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the robust accuracy of the first model; the last one is the surrogate."""
    found = report(infos[0], wanted.attack, wanted.number, infos[-1])
    surrogate = "" if infos[-1] is infos[0] else f", surrogate model {model_name(infos[-1])}"
    return Measured(
        found.robust_accuracy,
        f"{model_name(infos[0])} is correct on **{percent(found.robust_accuracy)}** of "
        f"{sampled_images(wanted.number)}: {seeded_words(wanted.attack)}{surrogate}. Without an "
        f"attack: {percent(found.clean_accuracy)}.",
    )


def clean_gap(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the clean accuracy of the first model minus that of the second."""
    one, other = (clean_accuracy(wanted, [info], image) for info in infos)
    difference = one.value - other.value
    words = f"The accuracy of {model_name(infos[1])} is **{points(-difference)}**."
    return Measured(difference, f"{one.words} {other.words} {words}")


def accuracy_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the robust accuracy of the first model minus that of the second."""
    shares = [report(info, wanted.attack, wanted.number).robust_accuracy for info in infos]
    listed = each_model(infos, [percent(share) for share in shares])
    difference = shares[0] - shares[1]
    return Measured(
        difference,
        f"Accuracy under attack: {listed}; that of {model_name(infos[0])} is "
        f"**{points(difference)}**. {seeded_words(wanted.attack)}, "
        f"{sampled_images(wanted.number)}.",
    )


def attack_gap(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the robust accuracy under the attack minus that under the other attack."""
    assert wanted.other is not None, "a gap of attacks needs two of them"
    one = accuracy(wanted, infos, image)
    other = accuracy(replace(wanted, attack=wanted.other), infos, image)
    difference = one.value - other.value
    return Measured(
        difference,
        f"{model_name(infos[0])} is correct on **{percent(one.value)}** under "
        f"{seeded_words(wanted.attack)}, and on **{percent(other.value)}** under "
        f"{seeded_words(wanted.other)}: **{points(-difference)}**; "
        f"{sampled_images(wanted.number)}.",
    )


def surrogate_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the accuracy of the first model under transfer from the second minus direct attack."""
    model, surrogate = infos
    transfer = report(model, wanted.attack, wanted.number, surrogate).robust_accuracy
    direct = report(model, wanted.attack, wanted.number).robust_accuracy
    return Measured(
        transfer - direct,
        f"{model_name(model)} is correct on **{percent(transfer)}** if the attack is computed on "
        f"{model_name(surrogate)}, and on **{percent(direct)}** if it is computed on "
        f"{model_name(model)} itself: the first is **{points(transfer - direct)}**. "
        f"{seeded_words(wanted.attack)}, {sampled_images(wanted.number)}.",
    )


def same_surrogate_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the accuracy of the first minus the second model; the second is the surrogate."""
    shares = [
        report(info, wanted.attack, wanted.number, infos[1]).robust_accuracy for info in infos
    ]
    listed = each_model(infos, [percent(share) for share in shares])
    return Measured(
        shares[0] - shares[1],
        f"Accuracy under attack: {listed}; that of {model_name(infos[0])} is "
        f"**{points(shares[0] - shares[1])}**. "
        f"{seeded_words(wanted.attack)}, surrogate model {model_name(infos[1])}, "
        f"{sampled_images(wanted.number)}.",
    )
