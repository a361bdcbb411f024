"""A strip of three pictures: one digit, and what the same attack does to two models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.ui import cached
from app.ui.units import percent
from app.ui.words import attack_words
from robust_core.attacks.base import Attack, create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace

SCALE = 5  # pixels on screen for one of the image
MOST_CANDIDATES = 12


@dataclass(frozen=True, eq=False)
class Glimpse:
    """One test image under one attack on two models.

    position: of the image in the test split. image_id: its stable name. parts_models: whether the
    attack fools the standard model and not the other one.
    """

    attack: Attack
    position: int
    image_id: str
    parts_models: bool
    standard: AttackTrace
    robust: AttackTrace


def find_glimpse(standard: CheckpointInfo, robust: CheckpointInfo) -> Glimpse:
    """Return a test image that tells the two models apart, or the last one tried.

    The data set's own first image is tried before all others.

    Computed at the first visit of the page and kept.

    Raises:
        InputError: a checkpoint or the data set cannot be loaded.
    """
    return _find_glimpse(standard.digest, robust.digest, standard, robust)


@st.cache_resource(max_entries=4, show_spinner="Attacking a digit …")
def _find_glimpse(
    standard_digest: str, robust_digest: str, _standard: CheckpointInfo, _robust: CheckpointInfo
) -> Glimpse:
    images = cached.load_images(_standard)
    ball = _robust.config.threat_model()
    attack = create_attack("pgd", norm=ball.norm, epsilon=ball.epsilon, num_steps=20)

    def glimpse_at(position: int) -> Glimpse:
        first, second = (
            cached.run_attack(
                info,
                images.x[position],
                int(images.y[position]),
                attack,
                None,
                check=lambda: None,
            )
            for info in (_standard, _robust)
        )
        right = first.clean_prediction == second.clean_prediction == first.label
        parts = right and first.success and not second.success
        return Glimpse(attack, position, images.image_id(position), parts, first, second)

    first = cached.first_right(_standard)
    tried = map(glimpse_at, [first, *range(min(MOST_CANDIDATES, len(images)))])
    for found in tried:
        if found.parts_models:
            return found
    return found


def show_glimpse(glimpse: Glimpse, names: Sequence[str]) -> None:
    """Draw the three pictures, each with what the model reads in it; `names` are the classes'."""
    first, second = glimpse.standard, glimpse.robust
    places = st.columns(3)
    _picture(places[0], "Clean", first.x, first.clean, first.label, names)
    _picture(places[1], "Attacked: undefended", first.x_adv, first.adversarial, first.label, names)
    _picture(
        places[2],
        "Attacked: trained on attacks",
        second.x_adv,
        second.adversarial,
        second.label,
        names,
    )
    choice = "a test image" + (" that tells the two apart" if glimpse.parts_models else "")
    st.caption(
        f"Computed on this computer: {glimpse.image_id}, {choice}, attacked by "
        f"{attack_words(glimpse.attack.name, glimpse.attack.model_dump(mode='json'))}. "
        "How often this happens is in the table below."
    )


def _picture(
    place,
    title: str,
    x: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    label: int,
    names: Sequence[str],
) -> None:
    """Draw one picture: x [C,H,W] in [0, 1] with the probabilities [K] of its classes."""
    seen, confidence = int(probabilities.argmax()), percent(float(probabilities.max()))
    icon = ":green[:material/check_circle:]" if seen == label else ":orange[:material/cancel:]"
    enlarged = np.kron(x.transpose(1, 2, 0), np.ones((SCALE, SCALE, 1), dtype=np.float32))
    with place:
        st.markdown(f"**{title}**")
        st.image(
            (255 * enlarged).round().astype(np.uint8).squeeze(),
            output_format="PNG",
            width=enlarged.shape[1],
            alt=f"{title}: the {names[label]} is read as {names[seen]}, {confidence}",
        )
        st.markdown(f"{icon} reads **{names[seen]}**, {confidence}")
