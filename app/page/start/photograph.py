"""Three pictures: a photograph, a change that cannot be seen, and what the model takes both for."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.ui import models
from app.ui.attack_controls import FIRST_ATTACK, first_values
from app.ui.browser.pictures import Picture, picture_row
from app.ui.browser.player import perturbation_picture
from app.ui.first_image import first_image
from app.ui.model_picker import photograph_model
from app.ui.page import input_errors
from app.ui.plain import in_markdown
from app.ui.traces import attack_image
from app.ui.units import percent
from app.ui.words import attack_words, distance_words
from robust_core.attacks.base import Attack, create_attack
from robust_core.checkpoints.catalog import CheckpointInfo

GAIN = 50  # of the change in its picture
LARGEST = 170  # pixels of a picture on the screen: three side by side


@dataclass(frozen=True)
class Photograph:
    """A photograph and the attack on it, before anything is computed.

    info: the model. attack: within the standard threat model of the data. number: of the image in
    its file. image_id: its stable name.
    """

    info: CheckpointInfo
    attack: Attack
    number: int
    image_id: str


def find_photograph(infos: Sequence[CheckpointInfo]) -> Photograph | None:
    """Return the photograph that the page shows; None: its model or the photographs are not here.

    Args:
        infos: the available checkpoints.
    """
    info = photograph_model(infos)
    if info is None:
        return None
    number = first_image(info.config.data)
    assert number is not None, "chosen in `first_image`"
    attack = create_attack(FIRST_ATTACK, **first_values(info, FIRST_ATTACK))
    return Photograph(info, attack, number, f"{info.config.data.name}/test/{number}")


def show_photograph(photograph: Photograph, place: DeltaGenerator) -> None:
    """Attack the photograph, which takes seconds at the first visit and is kept, and draw it.

    Args:
        photograph: of `find_photograph`.
        place: where; everything else should stand on the page by then.
    """
    with place, input_errors():
        _draw(photograph)


def _draw(photograph: Photograph) -> None:
    info, attack = photograph.info, photograph.attack
    images = models.load_images(info)
    position = int((images.index == photograph.number).nonzero()[0])
    x, label = images.x[position], int(images.y[position])
    trace = attack_image(info, x, label, attack)
    names = info.class_names
    before, after = (
        (names[int(shares.argmax())], percent(float(shares.max())))
        for shares in (trace.clean, trace.adversarial)
    )
    distance = distance_words(attack.norm, trace.distance)
    picture_row(
        [
            Picture(
                x,
                "Photograph",
                f"predicted {before[0]}, {before[1]}",
                f"A photograph: a {names[label]}, classified as {before[0]}, {before[1]}",
                role="clean",
            ),
            Picture(
                perturbation_picture(trace.x_adv - x, GAIN),
                f"Change, × {GAIN}",
                f"at most {distance} a colour value",
                f"The change of the photograph, {GAIN} times as strong: noise without meaning",
            ),
            Picture(
                trace.x_adv,
                "Photograph + change",
                f"predicted {after[0]}, {after[1]}",
                f"The changed photograph, which looks the same: classified as {after[0]}, "
                f"{after[1]}",
                role="adversarial",
            ),
        ],
        label="A photograph, a change, and both together",
        largest=LARGEST,
        key="start.photograph",
    )
    st.caption(
        f"Computed on this computer: {photograph.image_id}, "
        f"{in_markdown(attack_words(attack.name, attack.model_dump(mode='json')))} on "
        f"{in_markdown(info.name)}. One photograph is a demonstration; the table below says what "
        "was measured."
    )
