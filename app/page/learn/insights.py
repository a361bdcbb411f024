"""Measurements of the guided tours of one image: confidence, gradients, checks, morphs."""

from app.page.gradients import measure as gradients
from app.page.learn.lesson import Measure
from app.page.learn.measured import Measured, each_model, model_name, points, sampled_images
from app.page.learn.work import trace
from app.ui import models, reliability
from app.ui.image_picker import ChosenImage
from app.ui.measure import at_once, run
from app.ui.units import percent
from app.ui.words import seeded_words
from robust_core.analysis.alignment import zero_gradient_share
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.check_text import check_title
from robust_core.evaluation.finding import Severity

MORPH_RADIUS = 6.0


def confidence(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the probability of the label after the attack on the image."""
    found = trace(infos[0], wanted.attack, image)
    name = infos[0].class_names[image.label]
    before, after = float(found.clean[image.label]), float(found.adversarial[image.label])
    return Measured(
        after,
        f"{model_name(infos[0])} gives {name} a probability of **{percent(before)}** before and "
        f"**{percent(after)}** after the attack on {image.image_id}: "
        f"{seeded_words(wanted.attack)}.",
    )


def zero_gradient(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the share of images at which the loss gradient is exactly zero."""
    images = models.load_images(infos[0]).sample(wanted.number)
    model = models.load_model(infos[0])
    share = run(
        "learn.zero_gradient",
        (infos[0], wanted.number),
        lambda job: zero_gradient_share(model, images.x, images.y),
    )
    return Measured(
        share,
        f"The gradient of {model_name(infos[0])} is exactly zero, in every pixel, at "
        f"**{percent(share)}** of {sampled_images(wanted.number)} (gradient of the cross-entropy).",
    )


def raised_checks(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return how many reliability checks of the attack on the image warn or fail."""
    findings = reliability.check(infos[0], trace(infos[0], wanted.attack, image))
    raised = [finding for finding in findings if finding.severity is not Severity.OK]
    titles = (
        ": " + ", ".join(check_title(finding.name).lower() for finding in raised) if raised else ""
    )
    return Measured(
        float(len(raised)),
        f"**{len(raised)} of {len(findings)} checks** of {model_name(infos[0])} on "
        f"{image.image_id} warn or fail{titles}. {seeded_words(wanted.attack)}.",
    )


def alignment_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the alignment with class means of the first model minus that of the second."""
    with at_once():
        found = gradients.sample_alignment(infos, "CM", None, wanted.number)
    assert found is not None, "measured at once"
    means = [one.mean for one in found]
    listed = each_model(infos, [f"{mean:+.3f}" for mean in means])
    return Measured(
        means[0] - means[1],
        f"Mean cosine of gradient and direction to the class mean: {listed}; "
        f"difference **{means[0] - means[1]:+.3f}**. "
        f"{sampled_images(wanted.number).capitalize()}, all classes.",
    )


def morph_gap(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the target's probability after the morph, of the first minus the second model."""
    with at_once():
        classes = gradients.shown_classes(infos, image)
        found = gradients.morphs(infos, image, MORPH_RADIUS, classes)
    assert found is not None, "measured at once"
    shares = [float(probabilities.mean()) for _, probabilities in found]
    listed = each_model(infos, [percent(share) for share in shares])
    return Measured(
        shares[0] - shares[1],
        f"Mean probability of the target class at the end: {listed}; that of "
        f"{model_name(infos[0])} is **{points(shares[0] - shares[1])}**. Targeted PGD, L2 "
        f"{MORPH_RADIUS:g}, {gradients.MORPH_STEPS} steps, no random start, {image.image_id}, "
        "every class once.",
    )
