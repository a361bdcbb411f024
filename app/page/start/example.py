"""Three pictures: a digit, and the same attack on it against two models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from torch import Tensor

from app.ui import measure, models
from app.ui.pictures import shown_pixels
from app.ui.plain import in_markdown
from app.ui.traces import attack_image
from app.ui.units import percent
from app.ui.words import exact_words
from robust_core.attacks.base import Attack, create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace

SCALE = 5  # pixels on screen for one of the image
MAX_CANDIDATES = 12


@dataclass(frozen=True, eq=False)
class Example:
    """One test image, attacked in the same way on two models.

    position: index of the image in the test split. image_id: its stable name. separates_models:
    whether the attack fools the standard model and not the other one.
    """

    attack: Attack
    position: int
    image_id: str
    separates_models: bool
    standard: AttackTrace
    robust: AttackTrace


def find_example(standard: CheckpointInfo, robust: CheckpointInfo) -> Example:
    """Return a test image on which the attack fools only the standard model.

    The data set's own first image is tried before the others; without such an image the last one
    tried is returned. Computed at the first visit of the page and kept.

    Raises:
        InputError: a checkpoint or the data set cannot be loaded.
    """
    return measure.run(
        "start.example",
        (standard, robust),
        lambda run: _find_example(standard, robust),
        "Attacking a digit",
    )


def _find_example(standard: CheckpointInfo, robust: CheckpointInfo) -> Example:
    images = models.load_images(standard)
    threat_model = robust.config.threat_model()
    attack = create_attack(
        "pgd", norm=threat_model.norm, epsilon=threat_model.epsilon, num_steps=20
    )

    def example_at(position: int) -> Example:
        first, second = (
            attack_image(info, images.x[position], int(images.y[position]), attack)
            for info in (standard, robust)
        )
        right = first.clean_prediction == second.clean_prediction == first.label
        separates = right and first.success and not second.success
        return Example(attack, position, images.image_id(position), separates, first, second)

    first = models.first_correct(standard)
    tried = map(example_at, [first, *range(min(MAX_CANDIDATES, len(images)))])
    for found in tried:
        if found.separates_models:
            return found
    return found


def show_example(example: Example, names: Sequence[str]) -> None:
    """Draw the three pictures with the models' predictions; `names` are the class names."""
    first, second = example.standard, example.robust
    columns = st.columns(3)
    _picture(columns[0], "Clean", first.x, first.clean, first.label, names)
    _picture(
        columns[1],
        "Attacked: standard training",
        first.x_adv,
        first.adversarial,
        first.label,
        names,
    )
    _picture(
        columns[2],
        "Attacked: adversarial training",
        second.x_adv,
        second.adversarial,
        second.label,
        names,
    )
    choice = "a test image" + (
        " on which the two models differ" if example.separates_models else ""
    )
    st.caption(
        f"Computed on this computer: {example.image_id}, {choice}, attacked by "
        f"{exact_words(example.attack)}. "
        "The table below says how often this happens."
    )


def _picture(
    place,
    title: str,
    x: Tensor,
    probabilities: NDArray[np.float32],
    label: int,
    names: Sequence[str],
) -> None:
    """Draw one picture: x [C,H,W] in [0, 1] with the probabilities [K] of its classes."""
    seen, confidence = int(probabilities.argmax()), percent(float(probabilities.max()))
    icon = ":green[:material/check_circle:]" if seen == label else ":orange[:material/cancel:]"
    pixels = shown_pixels(x.numpy(), SCALE)
    with place:
        st.markdown(f"**{title}**")
        st.image(
            pixels,
            output_format="PNG",
            width=pixels.shape[1],
            alt=f"{title}: the {names[label]} is classified as {names[seen]}, {confidence}",
        )
        st.markdown(f"{icon} predicted **{in_markdown(names[seen])}**, {confidence}")
