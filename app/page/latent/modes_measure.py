"""Measurements of the inference modes of an ATLD checkpoint, computed once and cached."""

from app.page.latent.measure import base_network
from app.ui import models
from app.ui.measure import Cost, Run, cost_of, measure
from app.ui.words import seeded_words
from robust_core.analysis.inference_modes import (
    MODES,
    SMOOTH,
    ModeComparison,
    compare_modes,
    comparison_passes,
)
from robust_core.analysis.transformation_steps import (
    StepCurve,
    curve_passes,
    step_size_curve,
    step_sizes,
)
from robust_core.attacks.apgd import APGD
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation_runs.subjects import undefended_model
from robust_core.inference.manifold_transformation import ManifoldTransformed

BATCH = 64


def comparison(info: CheckpointInfo, attack: APGD, num_images: int) -> ModeComparison | None:
    """Return `compare_modes` of an ATLD checkpoint; None, with a button, until measured.

    Args:
        info: any inference mode of the checkpoint.
        attack: made by `strong_attack`.
        num_images: size of the sample of test images.

    Raises:
        InputError: the checkpoint or its images cannot be loaded.
    """

    def work(job: Run) -> ModeComparison:
        smooth = [SMOOTH] if SMOOTH in info.inferences else []  # older models lack it
        other = undefended_model(info)
        return compare_modes(
            {name: models.load_model(_mode(info, name)) for name in (*MODES, *smooth)},
            models.load_images(info).sample(num_images),
            attack,
            surrogate=None if other is None else (other.name, models.load_model(other)),
            on_pass=job.check,
            on_stage=lambda words, share: job.progress(share, words),
        )

    return measure(
        "latent.modes",
        (info.digest, attack, num_images),
        work,
        cost=_cost(_mode(info, ""), comparison_passes(attack), num_images),
        label="Compare the three inference modes",
        teaser=f"{seeded_words(attack)} on {num_images} images, five times.",
        live_seconds=0.0,
    )


def step_curve(
    info: CheckpointInfo, attack: APGD, num_images: int, *, limited: bool
) -> StepCurve | None:
    """Return `step_size_curve` of an ATLD checkpoint; arguments as of `comparison`."""
    through = transformation(info)
    return measure(
        "latent.steps",
        (info.digest, attack, num_images, limited),
        lambda job: step_size_curve(
            through,
            models.load_images(info).sample(num_images),
            attack,
            limited=limited,
            on_pass=job.check,
            on_stage=lambda words, share: job.progress(share, words),
        ),
        cost=_cost(_mode(info, ""), curve_passes(through, attack), num_images),
        label="Vary the step size",
        teaser=f"{seeded_words(attack)} on {num_images} images at {len(step_sizes(through))} step "
        "sizes.",
        live_seconds=0.0,
    )


def transformation(info: CheckpointInfo) -> ManifoldTransformed:
    """Return the transformation of a checkpoint with a discriminator."""
    found = base_network(info).transformation
    assert found is not None, "the checkpoint has a discriminator"
    return found


def _cost(info: CheckpointInfo, passes: int, num_images: int) -> Cost:
    return cost_of([info], passes * num_images, BATCH)


def _mode(info: CheckpointInfo, inference: str) -> CheckpointInfo:
    name = models.base_name(info)
    wanted = f"{name}:{inference}" if inference else name
    return next(other for other in models.checkpoints() if other.name == wanted)
