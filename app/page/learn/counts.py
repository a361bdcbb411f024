"""Reveals of the guided tours that count right answers, without an attack and under it."""

from dataclasses import replace

from app.page.learn.lesson import Measure
from app.page.learn.work import Measured, each_model, model_name, points, report, sampled_images
from app.ui.image_picker import ChosenImage
from app.ui.units import percent
from app.ui.words import seeded_words
from robust_core.checkpoints.catalog import CheckpointInfo


def clean_accuracy(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the accuracy of the first model without an attack."""
    share = report(infos[0], wanted.attack, wanted.number).clean_accuracy
    images = sampled_images(wanted.number)
    words = f"{model_name(infos[0])} reads **{percent(share)}** of {images} right"
    return Measured(share, f"{words}, without an attack.")


def accuracy(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the robust accuracy of the first model, under an attack made on the last one."""
    found = report(infos[0], wanted.attack, wanted.number, infos[-1])
    crafted = "" if infos[-1] is infos[0] else f", made on {model_name(infos[-1])}"
    return Measured(
        found.robust_accuracy,
        f"{model_name(infos[0])} stays right on **{percent(found.robust_accuracy)}** of "
        f"{sampled_images(wanted.number)}: {seeded_words(wanted.attack)}{crafted}. Without an "
        f"attack: {percent(found.clean_accuracy)}.",
    )


def clean_gap(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the clean accuracy of the first model minus that of the second."""
    one, other = (clean_accuracy(wanted, [info], image) for info in infos)
    difference = one.value - other.value
    return Measured(difference, f"{one.words} {other.words} **{points(difference)}**.")


def accuracy_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the robust accuracy of the first model minus that of the second."""
    shares = [report(info, wanted.attack, wanted.number).robust_accuracy for info in infos]
    told = each_model(infos, [percent(share) for share in shares])
    difference = shares[0] - shares[1]
    return Measured(
        difference,
        f"Right under attack: {told} ({points(difference)}). {seeded_words(wanted.attack)}, "
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
        f"{model_name(infos[0])} stays right on **{percent(one.value)}** under "
        f"{seeded_words(wanted.attack)}, and on **{percent(other.value)}** under "
        f"{seeded_words(wanted.other)} ({points(-difference)}); {sampled_images(wanted.number)}.",
    )


def source_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the accuracy under the attack on the second model minus that on itself."""
    judge, source = infos
    elsewhere = report(judge, wanted.attack, wanted.number, source).robust_accuracy
    itself = report(judge, wanted.attack, wanted.number).robust_accuracy
    return Measured(
        elsewhere - itself,
        f"{model_name(judge)} stays right on **{percent(elsewhere)}** if the attack is made on "
        f"{model_name(source)}, and on **{percent(itself)}** if it is made on "
        f"{model_name(judge)} itself. "
        f"{seeded_words(wanted.attack)}, {sampled_images(wanted.number)}.",
    )


def same_source_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the gap of both models under one attack, which is made on the second."""
    shares = [
        report(info, wanted.attack, wanted.number, infos[1]).robust_accuracy for info in infos
    ]
    told = each_model(infos, [percent(share) for share in shares])
    return Measured(
        shares[0] - shares[1],
        f"Right under attack: {told} ({points(shares[0] - shares[1])}). "
        f"{seeded_words(wanted.attack)}, made on {model_name(infos[1])}, "
        f"{sampled_images(wanted.number)}.",
    )
