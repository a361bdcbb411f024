"""Measurements of the page Gradients; costly ones wait for a button."""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ui import models
from app.ui.image_picker import ChosenImage
from app.ui.measure import Run, cost_of, kept, known, measure, run
from app.ui.plain import in_markdown
from robust_core.analysis.alignment import (
    Alignment,
    ScoreName,
    TargetName,
    alignment,
    gradients_of_classes,
    target_directions,
)
from robust_core.analysis.attribution import (
    AttributionName,
    ExplanationQuality,
    attribute,
    not_applicable,
)
from robust_core.analysis.attribution import (
    explanation_quality as quality_of,
)
from robust_core.analysis.synthesis import class_seeds, generate, hole_of, inpaint
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.gradients import predict_logits
from robust_core.models.base import Classifier
from robust_core.models.denoiser import Denoiser
from robust_core.threat_model import Norm

R = TypeVar("R")
Array = NDArray[np.float32]
Infos = Sequence[CheckpointInfo]
Generated = list[tuple[Array, Array]]  # per model: images [K,C,H,W], probabilities of them [K]
ALIGNMENT = "gradients.alignment.model"
METHODS = get_args(AttributionName)
SEED = 0
MORPH_STEPS, DRAW_STEPS = 40, 40
MAP_PASSES, QUALITY_PASSES = 300, 3500  # mostly occlusion: 225 patches, for quality of 9 images
ALL_CLASSES, MOST_CLASSES = 20, 10  # shown as they are up to; shown of more
BATCH = 16  # images per pass, on average


def shown_classes(infos: Infos, image: ChosenImage) -> list[int]:
    """Return the classes that the views show: all, or of many those that matter for an image.

    These are its label and the classes that the first model finds likeliest, `MOST_CLASSES` in all,
    ascending; each costs a backward pass.
    """
    info = infos[0]
    if info.num_classes <= ALL_CLASSES:
        return list(range(info.num_classes))

    def find() -> list[int]:
        logits = predict_logits(models.load_model(info), image.x[None])[0]
        logits[image.label] = torch.inf
        return sorted(logits.topk(MOST_CLASSES).indices.tolist())

    return kept("gradients.shown", (info, image.x, image.label), find)


def classes_words(infos: Infos, classes: Sequence[int]) -> str:
    """Return which classes are shown, where that is not all; begins with a space."""
    if len(classes) == infos[0].num_classes:
        return ""
    return (
        f" Shown are {len(classes)} of {infos[0].num_classes:,} classes: the label and those that "
        f"{in_markdown(infos[0].name)} finds likeliest."
    )


def gradients(infos: Infos, x: Tensor, score: ScoreName, classes: Sequence[int]) -> Array:
    """Return the input gradients of each model for K classes at an image [C,H,W]: [R,K,C,H,W]."""

    def of_one(info: CheckpointInfo) -> Array:
        model = models.load_model(info)
        return run(
            "gradients.maps",
            (info, x, score, tuple(classes)),
            lambda job: gradients_of_classes(model, x[None], score, classes=classes)[0].numpy(),
        )

    return np.stack([of_one(info) for info in infos])


def targets(info: CheckpointInfo, x: Tensor, kind: str, denoiser: CheckpointInfo | None) -> Array:
    """Return the target direction of each class for an image [C,H,W]: [K,C,H,W]."""
    return run(
        "gradients.targets",
        (info.config.data.model_dump_json(), x, kind, denoiser),
        lambda job: _finder(info, kind, denoiser)(x[None])[0].numpy(),
    )


def sample_alignment(
    infos: Infos,
    kind: str,
    denoiser: CheckpointInfo | None,
    number: int,
    *,
    name: str = "gradients.alignment",
    label: str = "Measure alignment",
    teaser: str = "",
) -> list[Alignment] | None:
    """Return the alignment of each model over a sample of test images; None until measured.

    Args:
        infos: the models, of one data set.
        kind: of targets.
        denoiser: for score-based targets.
        number: of test images, at most.
        name: of the measurement.
        label: of the button.
        teaser: what the button will show.
    """
    models.load_images(infos[0], "train")  # says at once where there are none

    def key(info: CheckpointInfo) -> tuple:
        return (info, kind, denoiser, number)

    def of_one(info: CheckpointInfo, job: Run) -> Alignment:
        find, x = _finder(info, kind, denoiser), models.load_images(info).sample(number).x

        def targets_of(part: Tensor, _: Tensor) -> Tensor:
            job.check()
            return find(part)

        model = models.load_model(info)
        return run(ALIGNMENT, key(info), lambda _: alignment(model, x, targets_of))

    left = [info for info in infos if known(ALIGNMENT, key(info)) is None]
    return measure(
        name,
        (infos, kind, denoiser, number),
        lambda job: _each(infos, job, of_one),
        cost=cost_of(left, number * (infos[0].num_classes + 1), BATCH),
        label=label,
        teaser=teaser,
        words="Comparing gradients and targets",
    )


def morphs(
    infos: Infos, image: ChosenImage, epsilon: float, classes: Sequence[int]
) -> Generated | None:
    """Return the image moved towards some classes by each model; None until measured.

    Targeted L2 PGD without random start, 40 steps of 2.5 epsilon / 40.
    """

    def of_one(info: CheckpointInfo, job: Run) -> tuple[Array, Array]:
        model = models.load_model(info)
        attack = create_attack(
            "pgd",
            norm=Norm.L2,
            epsilon=epsilon,
            num_steps=MORPH_STEPS,
            random_start=False,
            seed=SEED,
        )
        many = image.x.expand(len(classes), *image.x.shape).contiguous()
        x_adv = attack(
            model,
            many,
            torch.full((len(many),), image.label),
            target=torch.tensor(classes),
            on_step=lambda step: job.check(),
        )
        return x_adv.numpy(), _reached(model, x_adv, classes)

    num_classes = len(classes)
    return measure(
        "gradients.morph",
        (infos, image.x, image.label, epsilon, tuple(classes)),
        lambda job: _each(infos, job, of_one),
        cost=cost_of(infos, MORPH_STEPS * num_classes, num_classes),
        label="Morph",
        teaser="Press Morph to move the image towards every class.",
        words="Moving the image towards every class",
    )


def seeds(info: CheckpointInfo, seed: int) -> Tensor:
    """Return a sample from the Gaussian fitted to each class's training images: [K,C,H,W]."""
    train = models.load_images(info, "train")
    generator = torch.Generator().manual_seed(seed)
    return class_seeds(train.x, train.y, torch.arange(train.num_classes), generator)


def generated(
    infos: Infos, start: Tensor, task: str, epsilon: float, shown: Sequence[int]
) -> Generated | None:
    """Return an image of each class by each model, from `start` [K,C,H,W]; None until measured.

    Args:
        infos: the models.
        start: one image per class.
        shown: the classes.
        task: "seed" changes the whole image, "hole" only its middle.
        epsilon: largest L2 distance from `start`.
    """

    def of_one(info: CheckpointInfo, job: Run) -> tuple[Array, Array]:
        model, classes = models.load_model(info), torch.tensor(shown)
        steps = {
            "epsilon": epsilon,
            "step_size": 2.5 * epsilon / DRAW_STEPS,
            "num_steps": DRAW_STEPS,
            "on_step": lambda step: job.check(),
        }
        if task == "seed":
            x = generate(model, start, classes, **steps)
        else:
            x = inpaint(model, start, hole_of(start), classes, **steps)
        return x.numpy(), _reached(model, x, shown)

    return measure(
        "gradients.draw",
        (infos, start, task, epsilon, tuple(shown)),
        lambda job: _each(infos, job, of_one),
        cost=cost_of(infos, DRAW_STEPS * len(start), len(start)),
        label="Generate",
        teaser="Press Generate to follow the gradient of every class.",
        words="Following the gradient of every class",
    )


def attributions(
    infos: Infos, image: ChosenImage, label: int
) -> list[tuple[Array, dict[str, str]]] | None:
    """Return for each model the attribution maps of a class and why methods do not apply.

    Maps are [M,C,H,W], NaN where a method does not apply; the reasons are by method. None until
    measured.
    """

    def of_one(info: CheckpointInfo, job: Run) -> tuple[Array, dict[str, str]]:
        model, maps, reasons = models.load_model(info), [], {}
        for method in METHODS:
            job.check()
            reason = not_applicable(model, method)
            if reason is None:
                y = torch.tensor([label])
                maps.append(attribute(model, image.x[None], y, method, seed=SEED)[0].numpy())
            else:
                reasons[method] = reason
                maps.append(np.full(image.x.shape, np.nan, dtype=np.float32))
        return np.stack(maps), reasons

    return measure(
        "gradients.attribution",
        (infos, image.x, label),
        lambda job: _each(infos, job, of_one),
        cost=cost_of(infos, MAP_PASSES, BATCH),
        label="Explain",
        teaser="Press Explain to compute the maps of all methods.",
        words="Computing attributions",
    )


def explanation_quality(
    infos: Infos, image: ChosenImage, label: int
) -> list[dict[str, ExplanationQuality]] | None:
    """Return for each model infidelity and sensitivity of the methods that apply.

    None until measured; empty for a stochastic model.
    """

    def of_one(info: CheckpointInfo, job: Run) -> dict[str, ExplanationQuality]:
        model, found = models.load_model(info), {}
        for method in () if model.stochastic else METHODS:
            job.check()
            if not_applicable(model, method) is None:
                y = torch.tensor([label])
                found[method] = quality_of(model, image.x[None], y, method, seed=SEED)
        return found

    return measure(
        "gradients.quality",
        (infos, image.x, label),
        lambda job: _each(infos, job, of_one),
        cost=cost_of(infos, QUALITY_PASSES, BATCH),
        label="Measure quality",
        words="Measuring infidelity and sensitivity",
    )


def _reached(model: Classifier, x: Tensor, classes: Sequence[int]) -> Array:
    """Return the probability of each image's own class: [K]."""
    probabilities = predict_logits(model, x).softmax(dim=1)
    return probabilities.gather(1, torch.tensor(classes)[:, None])[:, 0].numpy()


def _each(infos: Infos, job: Run, of_one: Callable[[CheckpointInfo, Run], R]) -> list[R]:
    """Return `of_one` of each model, reporting progress."""
    found = []
    for number, info in enumerate(infos):
        job.done(number, len(infos))
        found.append(of_one(info, job))
    return found


def _finder(
    info: CheckpointInfo, kind: str, denoiser: CheckpointInfo | None
) -> Callable[[Tensor], Tensor]:
    """Return the function that computes one kind of targets: images [B,C,H,W] -> [B,K,C,H,W]."""
    images, name = models.load_images(info, "train"), cast(TargetName, kind)
    if kind != "SBG" or denoiser is None:
        return target_directions(name, images, seed=SEED)
    model = models.load_model(denoiser)
    assert isinstance(model, Denoiser)
    noise = float(denoiser.config.model.parameters["noise"])
    return target_directions(name, images, denoiser=model, noise=noise, seed=SEED)
