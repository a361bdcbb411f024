"""Cached computations of the guided tours: reports, traces, latent samples, confusions."""

from collections.abc import Mapping

import torch

from app.page.hard_pairs import measure as hard_pairs
from app.page.latent.measure import KeptSample, make_sample
from app.page.learn.lesson import NUM_IMAGES, ImageRule
from app.ui import models
from app.ui.image_picker import ChosenImage
from app.ui.measure import Run, at_once, run
from app.ui.traces import attack_image
from robust_core.analysis.confusion_run import ConfusionPlan, ConfusionRun
from robust_core.analysis.hard_classes import TargetedOutcome
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.trace import AttackTrace, default_eot_samples

MAP_IMAGES, PAIR_IMAGES = 60, 120  # test images of a feature map, and of a confusion matrix

Models = Mapping[str, CheckpointInfo]


def find_image(rule: ImageRule, catalogue: Models, first: CheckpointInfo) -> ChosenImage:
    """Return the test image of a rule: the first that fits, or the first of all.

    Args:
        rule: which image.
        catalogue: the checkpoints by name.
        first: the checkpoint whose data set is used.
    """
    if not rule.fooled and not rule.safe:
        images, place = models.load_images(first), models.first_correct(first)
        return ChosenImage(images.x[place], int(images.y[place]), images.image_id(place))
    images = models.load_images(first).sample(NUM_IMAGES)
    fits = torch.ones(len(images), dtype=torch.bool)
    for names, correct in ((rule.fooled, False), (rule.safe, True)):
        for name in names:
            found = report(catalogue[name], rule.attack, NUM_IMAGES)
            fits &= found.clean_correct & (found.robust_correct == correct)
    place = int(fits.int().argmax())
    return ChosenImage(images.x[place], int(images.y[place]), images.image_id(place))


def report(
    info: CheckpointInfo, attack: Attack, number: int, surrogate: CheckpointInfo | None = None
) -> RobustnessReport:
    """Return the evaluation of a model on a sample of test images, cached.

    Args:
        info: the evaluated model.
        attack: the attack.
        number: of images.
        surrogate: the model that the attack is computed on; None: `info` itself.
    """
    surrogate = None if surrogate is None or surrogate.name == info.name else surrogate

    def work(job: Run) -> RobustnessReport:
        model = models.load_model(info)
        images = models.load_images(info).sample(number)
        return evaluate(
            model,
            images.x,
            images.y,
            attack,
            eot_samples=default_eot_samples(model),
            surrogate=None if surrogate is None else models.load_model(surrogate),
            on_progress=job.done,
        )

    return run("learn.report", (info, surrogate, attack, number), work, "Attacking")


def trace(info: CheckpointInfo, attack: Attack, image: ChosenImage) -> AttackTrace:
    """Return the attack on the image, as the Attack page records it."""
    return attack_image(info, image.x, image.label, attack)


def latent(info: CheckpointInfo, attack: Attack) -> KeptSample:
    """Return the features of a sample of test images, as on the Latent space page."""
    return make_sample(info, attack, None, MAP_IMAGES)


def confusion_plan(attack: Attack, number: int | None = None) -> ConfusionPlan:
    """Return the attack of the Hard pairs page: PGD without random start.

    Args:
        attack: PGD; its norm, epsilon and steps are used.
        number: test images of the sample; None: `PAIR_IMAGES`.
    """
    values = attack.model_dump(include={"norm", "epsilon", "num_steps"})
    return ConfusionPlan.create(values | {"num_images": number or PAIR_IMAGES})


def confusion(info: CheckpointInfo, attack: Attack, number: int | None = None) -> ConfusionRun:
    """Return the confusion of classes under attack, as on the Hard pairs page."""
    return hard_pairs.run_confusion(info, confusion_plan(attack, number))


def targeted(info: CheckpointInfo, attack: Attack, number: int) -> TargetedOutcome:
    """Return the outcome of targeted attacks on the same images."""
    with at_once():
        found = hard_pairs.targeted(info, confusion(info, attack, number), number, "")
    assert found is not None, "measured at once"
    return found
