"""Synthesis: images of every class from the gradients of each model."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.gradients import measure
from app.page.gradients.controls import warn_of_masking
from app.page.gradients.morph import EPSILON
from app.page.gradients.tiles import Words, tile_grid
from app.ui.downloads import npz, offer
from app.ui.image_picker import ChosenImage
from app.ui.pictures import picture_bytes
from app.ui.state import Choice, Number
from app.ui.units import percent
from app.ui.words import short_name
from robust_core.analysis.synthesis import hole_of, with_hole
from robust_core.checkpoints.catalog import CheckpointInfo

TASKS = {"seed": "From a seed", "hole": "Fill a hole"}
TASK = Choice("task", "gradients.task", TASKS)
SEED = Number("seed", "gradients.seed", 0, 9999, 0)
SOURCE = (
    "Method: Santurkar et al., “Image Synthesis with a Single (Robust) Classifier”, NeurIPS 2019, "
    "arXiv:1906.09453. The images show what a model has learned; they do not measure robustness."
)


def show_synthesis(models: Sequence[CheckpointInfo], image: ChosenImage) -> None:
    """Draw the start and the result of every model, classes in columns."""
    task, seed, epsilon = _controls()
    warn_of_masking(models)
    classes = measure.shown_classes(models, image)
    names, labels = (
        [models[0].class_names[k] for k in classes],
        [info.name for info in models],
    )
    start = image.x.expand(len(names), -1, -1, -1)
    if task == "seed":
        start = measure.seeds(models[0], seed)[classes]
    found = measure.generated(models, start, task, epsilon, classes)
    if found is None:
        return
    first = start if task == "seed" else with_hole(start, hole_of(start))
    tiles = np.stack([first.numpy(), *(x for x, _ in found)]).transpose(0, 1, 3, 4, 2)
    reached = np.stack([probabilities for _, probabilities in found])  # [R, K]
    words = Words(
        ["Start", *(short_name(info) for info in models)],
        names,
        [[""] * len(names), *([percent(float(share)) for share in row] for row in reached)],
    )
    tile_grid(
        tiles,
        words,
        image=image.x if task == "hole" else None,
        key="gradients.synthesis",
        label=f"{TASKS[task]}: pictures of every class. Mean probability of the target class: "
        + ", ".join(
            f"{short_name(info)} {percent(row.mean())}"
            for info, row in zip(models, reached, strict=True)
        ),
    )
    st.caption(
        f"{_start_words(task, seed)} Then {measure.DRAW_STEPS} steps of "
        f"{2.5 * epsilon / measure.DRAW_STEPS:.2g} along the gradient of log p(class), within L2 "
        f"{epsilon:g} of the start. Under each tile: the model's probability of the class. "
        f"{SOURCE}{measure.classes_words(models, classes)}"
    )
    numbers = {"probability": reached, "models": labels, "epsilon": epsilon, "seed": seed}
    offer(lambda: npz(pictures=tiles, **numbers), lambda: picture_bytes(tiles), "synthesis")


def _controls() -> tuple[str, int, float]:
    """Draw the choice of task, seed and epsilon, and return them."""
    left, middle, right = st.columns([1.2, 1, 2])
    with left:
        task = TASK.segmented("Task")
    with middle:
        seed = SEED.field(
            "Seed",
            disabled=task != "seed",
            help="Seed of the random sample from the Gaussian of each class.",
        )
    with right:
        epsilon = EPSILON.slider(
            "Epsilon (L2, pixels in [0, 1])",
            step=0.5,
            help="Largest L2 distance from the start.",
        )
    return task, seed, epsilon


def _start_words(task: str, seed: int) -> str:
    if task == "seed":
        return (
            f"Each class starts from a sample of the Gaussian of its training images (seed {seed})."
        )
    return "Each class starts from the image without its middle; only the middle changes."
