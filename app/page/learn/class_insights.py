"""Measurements of the guided tours about features and about pairs of classes."""

from app.page.latent.measure import distances
from app.page.learn.lesson import Measure
from app.page.learn.measured import Measured, each_model, model_name, points, sampled_images
from app.page.learn.work import confusion, latent, targeted
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words, percent
from app.ui.words import attack_words, seeded_words
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.analysis.hard_classes import rank_correlation
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.models.discriminator import detection_auroc


def drift(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the drift of the mean feature under attack, in multiples of that under noise."""
    found = latent(infos[0], wanted.attack)
    moved, noise = distances(found, "adversarial")[0], distances(found, "noisy")[0]
    times = moved.drift / max(noise.drift, 1e-12)
    return Measured(
        times,
        f"Under attack the mean feature of {model_name(infos[0])} moves **{times:.1f} times** as "
        f"far as under random noise of the same size ({moved.drift:.3g} and {noise.drift:.3g}). "
        f"{seeded_words(wanted.attack)}, {sampled_images(len(found.images))}.",
    )


def overlap_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the share of clean neighbours kept under attack, first minus second model."""
    found = [latent(info, wanted.attack) for info in infos]
    shares = [distances(one, "adversarial")[0].overlap for one in found]
    listed = each_model(infos, [percent(share) for share in shares])
    return Measured(
        shares[0] - shares[1],
        f"Share of its 10 nearest clean neighbours that an attacked image keeps: {listed}; "
        f"that of {model_name(infos[0])} is **{points(shares[0] - shares[1])}**. "
        f"{seeded_words(wanted.attack)}, {sampled_images(len(found[0].images))}.",
    )


def detection(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the AUROC of the discriminator for clean against attacked images."""
    found = latent(infos[0], wanted.attack)
    if not found.scores:
        raise InputError(f"{infos[0].name} should have a discriminator, but has none")
    area = detection_auroc(found.scores["clean"], found.scores["adversarial"])
    return Measured(
        area,
        f"AUROC **{area:.2f}**: in {percent(area)} of all pairs the discriminator of "
        f"{model_name(infos[0])} scores the clean image as more natural than the attacked one. "
        f"{seeded_words(wanted.attack)}, {sampled_images(len(found.images))}.",
    )


def top_share(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the share of errors in the most frequent wrong class of each class."""
    found = confusion(infos[0], wanted.attack)
    share, total = found.confusion().largest_error_share()
    return Measured(
        share,
        f"Of {count_words(total, 'error')} under attack **{percent(share)}** go to the most "
        f"frequent wrong class of their digit. {_run_words(found, infos[0])}",
    )


def agreement(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return how often the untargeted attack ends in the class that targeted ones reach best."""
    reached = targeted(infos[0], wanted.attack, wanted.number)
    free = confusion(infos[0], wanted.attack, wanted.number)
    agrees = reached.ends_at_easiest(free.images.y, free.attacked)
    share = float(agrees.double().mean()) if len(agrees) else 0.0
    return Measured(
        share,
        f"**{int(agrees.sum())} of {len(agrees)} misclassified images** end in the class that a "
        f"targeted attack reaches best, {percent(share)}. {_run_words(free, infos[0])}",
    )


def similarity(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the rank correlation of class similarity and confusion."""
    found = confusion(infos[0], wanted.attack)
    if found.weight_similarity is None:
        raise InputError(f"{infos[0].name} should have class weights, but has none")
    value = rank_correlation(found.weight_similarity, found.confusion().attacked_shares())
    return Measured(
        value,
        f"Spearman's rank correlation **{value:+.2f}** between the similarity of two classes' "
        f"weights and the share of one classified as the other. {_run_words(found, infos[0])}",
    )


def _run_words(found: ConfusionRun, info: CheckpointInfo) -> str:
    plan = found.plan
    words = attack_words("pgd", plan.model_dump(include={"norm", "epsilon", "num_steps"}))
    return f"{model_name(info)}, {words}, no random start, {sampled_images(len(found.images))}."
