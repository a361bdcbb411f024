"""Measurements of the page Hard pairs: an attack on many images, and analyses of its result."""

from torch import Tensor

from app.ui import models
from app.ui.measure import Cost, Run, affordable, cost_of, known, measure, run
from app.ui.plain import in_markdown
from robust_core.analysis import confusion_run
from robust_core.analysis.confusion import ConfusionPath, confusion_over_epsilons
from robust_core.analysis.confusion_run import ConfusionPlan, ConfusionRun
from robust_core.analysis.hard_classes import (
    TargetedOutcome,
    perturbation_alignment,
    targeted_outcome,
)
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import default_eot_samples

BATCH = 60  # images per pass
FEWEST = 20  # images of a first look
EPSILONS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # multiples of the epsilon of the attack
MOST_TARGETED = 120  # images for the targeted attacks
MOST_ALIGNED = 120  # images whose perturbations are compared with the gradients of every class
LIVE_ALIGNMENT = 0.5  # seconds; alignments expected to take less are measured without a button
RUN, WORDS = "hard_pairs.run", "Attacking every image"

NO_FEATURES = "This network has no features that could be compared."
NO_CLASS_WEIGHTS = (
    "This network has no linear final layer with weights for every class, so there are no cosines "
    "between features and class weights."
)


def cost(info: CheckpointInfo, plan: ConfusionPlan) -> Cost:
    """Return the cost of the attack on all images of a plan."""
    attack = plan.attack(models.load_model(info).stochastic)
    return _cost(info, attack, len(plan.images_of(models.load_images(info))))


def known_run(info: CheckpointInfo, plan: ConfusionPlan) -> ConfusionRun | None:
    """Return the run of exactly this plan if it is cached."""
    return known(RUN, (info, plan))


def first_look(info: CheckpointInfo, plan: ConfusionPlan) -> ConfusionRun | None:
    """Return the run of a plan on as many of its images as take no wait; None of a slow model."""
    number = affordable(cost(info, plan), len(plan.images_of(models.load_images(info))), FEWEST)
    if number == 0:
        return None
    few = plan if number >= plan.num_images else plan.model_copy(update={"num_images": number})
    return run_confusion(info, few)


def run_confusion(info: CheckpointInfo, plan: ConfusionPlan) -> ConfusionRun:
    """Attack all images of the plan, or return the cached run.

    Raises:
        InputError: the checkpoint cannot be loaded.
    """
    return run(RUN, (info, plan), lambda job: _attacked(info, plan, job), WORDS)


def other_run(info: CheckpointInfo, plan: ConfusionPlan) -> ConfusionRun | None:
    """Return the run of a second model; None, with a button, until it is measured."""
    return measure(
        RUN,
        (info, plan),
        lambda job: _attacked(info, plan, job),
        cost=cost(info, plan),
        label=f"Attack {in_markdown(info.name)}",
        teaser="Runs the same attack on the same images of the second model.",
        words=WORDS,
        live_seconds=0.0,
    )


def over_epsilons(info: CheckpointInfo, attacked: ConfusionRun) -> ConfusionPath | None:
    """Return the confusion at `EPSILONS` times epsilon; None, with a button, until measured."""

    def work(job: Run) -> ConfusionPath:
        model = models.load_model(info)
        return confusion_over_epsilons(
            model,
            attacked.images.x,
            attacked.images.y,
            attacked.attack,
            attacked.plan.threat_model.multiples(EPSILONS),
            batch_size=BATCH,
            eot_samples=default_eot_samples(model),
            on_progress=job.done,
        )

    return measure(
        "hard_pairs.radii",
        (info, attacked.plan),
        work,
        cost=_cost(info, attacked.attack, len(attacked.images) * len(EPSILONS)),
        label="Vary epsilon",
        teaser="Attacks every image at a quarter to twice the epsilon of this attack.",
        words="Attacking at every epsilon",
        live_seconds=0.0,
    )


def targeted(
    info: CheckpointInfo, attacked: ConfusionRun, num_images: int, teaser: str
) -> TargetedOutcome | None:
    """Return the result of targeted attacks on the first images; None until measured."""
    images = attacked.images.subset(slice(0, num_images))

    def work(job: Run) -> TargetedOutcome:
        model = models.load_model(info)
        return targeted_outcome(
            model,
            images.x,
            images.y,
            attacked.attack,
            batch_size=BATCH // 2,
            eot_samples=default_eot_samples(model),
            on_progress=job.done,
        )

    return measure(
        "hard_pairs.targeted",
        (info, attacked.plan, num_images),
        work,
        cost=_cost(info, attacked.attack, num_images * (info.num_classes - 1)),
        label="Run targeted attacks",
        teaser=teaser,
        words="Attacking every image towards every class",
        live_seconds=0.0,
    )


def alignment(info: CheckpointInfo, attacked: ConfusionRun) -> Tensor | None:
    """Return `perturbation_alignment` [K,K] of the first images; None until measured."""
    chosen = slice(0, MOST_ALIGNED)

    def work(job: Run) -> Tensor:
        return perturbation_alignment(
            models.load_model(info),
            attacked.images.x[chosen],
            attacked.images.y[chosen],
            attacked.x_adv[chosen],
            batch_size=BATCH // 2,
            on_progress=job.done,
        )

    passes = min(MOST_ALIGNED, len(attacked.images)) * (info.num_classes - 1)
    return measure(
        "hard_pairs.alignment",
        (info, attacked.plan),
        work,
        cost=cost_of([info], passes, BATCH),
        label="Measure alignment of perturbations",
        teaser="Compares the perturbation of an image with the gradient towards every class.",
        words="Comparing perturbations and gradients",
        live_seconds=LIVE_ALIGNMENT,
    )


def _attacked(info: CheckpointInfo, plan: ConfusionPlan, job: Run) -> ConfusionRun:
    images = plan.images_of(models.load_images(info))
    count, total = 0, -(-len(images) // BATCH) * (plan.num_steps + 1)

    def count_steps(step: object) -> None:
        nonlocal count
        count += 1
        job.done(count, total)

    return confusion_run.run_confusion(
        models.load_model(info), images, plan, batch_size=BATCH, on_step=count_steps
    )


def _cost(info: CheckpointInfo, attack: Attack, num_attacks: int) -> Cost:
    return cost_of([info], num_attacks * attack.passes(), BATCH)
