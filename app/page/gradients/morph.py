"""The class morph: one image moved towards every class by every model, with a large epsilon."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.gradients import measure
from app.page.gradients.controls import warn_of_masking
from app.page.gradients.tiles import Words, tile_grid
from app.ui.downloads import npz, offer
from app.ui.image_picker import ChosenImage
from app.ui.pictures import picture_bytes
from app.ui.state import Number
from app.ui.units import percent
from app.ui.words import short_name
from robust_core.checkpoints.catalog import CheckpointInfo

EPSILON = Number("epsilon", "gradients.epsilon", 0.0, 20.0, 6.0)


def show_morph(models: Sequence[CheckpointInfo], image: ChosenImage) -> None:
    """Draw the images: target classes in columns, models in rows."""
    epsilon = EPSILON.slider(
        "Epsilon (L2, pixels in [0, 1])",
        step=0.5,
        help="Largest L2 norm of the change. The usual epsilon of L2 attacks is 0.5.",
    )
    warn_of_masking(models)
    label = models[0].class_names[image.label]
    classes = measure.shown_classes(models, image)
    names = [models[0].class_names[k] for k in classes]
    found = measure.morphs(models, image, epsilon, classes)
    if found is None:
        return
    tiles = np.stack([x_adv for x_adv, _ in found]).transpose(0, 1, 3, 4, 2)
    reached = np.stack([probabilities for _, probabilities in found])  # [R, K]
    words = Words(
        [short_name(info) for info in models],
        names,
        [[percent(float(share)) for share in row] for row in reached],
    )
    tile_grid(
        tiles,
        words,
        image=image.x,
        key="gradients.morph",
        label=f"An image of {label} moved towards every class, L2 {epsilon:g}. "
        "Mean probability of the target class: "
        + ", ".join(
            f"{short_name(info)} {percent(row.mean())}"
            for info, row in zip(models, reached, strict=True)
        ),
    )
    st.caption(
        f"Targeted PGD, L2 {epsilon:g}, {measure.MORPH_STEPS} steps of "
        f"{2.5 * epsilon / measure.MORPH_STEPS:.2g}, no random start. Under each tile: the "
        "model's probability of the target class. For comparison: the code of BIGRoC, by the "
        "authors of PAG, uses epsilon 10 to 15 for pixels in [-1, 1], which is 5 to 7.5 here."
        + measure.classes_words(models, classes)
    )
    labels = [info.name for info in models]
    offer(
        lambda: npz(x_adv=tiles, probability=reached, models=labels, epsilon=epsilon),
        lambda: picture_bytes(tiles),
        "morph",
    )
