"""Controls of the page Hard pairs: attack, images and view; its state in the address."""

from collections.abc import Sequence
from typing import cast

import streamlit as st

from app.ui import models
from app.ui.attack_link import data_part
from app.ui.forms import fill_form, parameter_form
from app.ui.image_picker import choose_image
from app.ui.model_picker import chosen_model, model_part
from app.ui.page_link import PageLink, State
from app.ui.state import Choice, Part
from robust_core.analysis.confusion import Denominator
from robust_core.analysis.confusion_run import ConfusionPlan
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.registry import unknown_name

CONFUSION, PAIRS, LABELS = "Confusion", "Pairs", "Where they go"
SIMILARITY, LOSS, TARGETED = "Similarity", "Self-paced loss", "Targeted"
GRADIENT, MODELS = "Gradient", "Two models"
VIEWS = {  # value in an address -> title
    CONFUSION: CONFUSION,
    PAIRS: PAIRS,
    LABELS: "Predicted as",
    SIMILARITY: SIMILARITY,
    GRADIENT: GRADIENT,
    LOSS: LOSS,
    TARGETED: TARGETED,
    MODELS: MODELS,
}
VIEW = Choice("view", "hard_pairs.view", VIEWS)
AMONG: dict[Denominator, str] = {"all": "all images", "clean_correct": "correct only"}
DENOMINATOR = Choice("among", "hard_pairs.among", {str(one): words for one, words in AMONG.items()})
FIELDS = tuple(ConfusionPlan.model_fields)


def cell_keys(info: CheckpointInfo) -> tuple[str, str]:
    """Return the keys of the chosen cell: its label and its predicted class."""
    data = info.config.data.name
    return f"hard_pairs.labelled.{data}", f"hard_pairs.predicted.{data}"


def pick_plan(info: CheckpointInfo) -> ConfusionPlan | None:
    """Draw attack and number of images; None, with an error message, if they are invalid."""
    return parameter_form(
        ConfusionPlan,
        _form_key(info),
        initial=_first_values(info),
        advanced=("num_images", "loss"),
        sliders={"num_steps": 100.0},
    )


def pick_among() -> Denominator:
    """Draw the choice of the denominator of all shares."""
    chosen = DENOMINATOR.segmented(
        "Normalise over",
        help="All images of a class, or only those that are correct without an attack.",
    )
    return cast(Denominator, chosen)


def pick_view() -> str:
    """Draw the choice of the view."""
    return VIEW.segmented("View", bare=True)


def other_part(names: Sequence[str], start: str = "") -> Choice:
    """Return the choice of the second model of the view Two models.

    Args:
        names: of the models to choose from.
        start: the default.
    """
    return Choice("other", "hard_pairs.other", lambda: names, start=start)


def plan_state(plan: ConfusionPlan) -> dict[str, str]:
    """Return the query parameters of the attack and the number of images."""
    return {name: str(value) for name, value in plan.model_dump(mode="json").items()}


def hard_pairs_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page: its model, attack, number of images, view and cell.

    An image in the address is selected on all pages, and its class is selected here.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    parts = [
        model_part(infos),
        other_part([info.name for info in infos]),
        VIEW,
        DENOMINATOR,
        data_part(infos),
        Part("image", lambda image_id: _take_image(image_id, chosen_model(infos))),
        *(_cell_part(place, name, infos) for place, name in enumerate(("labelled", "predicted"))),
    ]
    names = [part.name for part in parts]
    return PageLink("hard_pairs", parts, rest=lambda rest: _take_plan(rest, infos, names))


def _form_key(info: CheckpointInfo) -> str:
    return f"hard_pairs.form.{info.config.data.name}"


def _first_values(info: CheckpointInfo) -> dict:
    standard = info.config.data_threat_model()
    return {"norm": standard.norm, "epsilon": standard.epsilon}


def _take_image(image_id: str, info: CheckpointInfo) -> None:
    choose_image(info, image_id)
    _, split, index = image_id.rsplit("/", 2)
    images = models.load_images(info, split)
    label = int(images.y[images.index == int(index)][0])
    st.session_state[cell_keys(info)[0]] = label


def _cell_part(place: int, name: str, infos: Sequence[CheckpointInfo]) -> Part:
    """Return the query parameter of the chosen cell's label or prediction: a class name."""

    def take(text: str) -> None:
        info = chosen_model(infos)
        if text not in info.class_names:
            raise unknown_name(f"class as {name}", text, list(info.class_names))
        st.session_state[cell_keys(info)[place]] = info.class_names.index(text)

    def tell() -> str | None:
        info = chosen_model(infos)
        number = st.session_state.get(cell_keys(info)[place])
        return None if number is None else info.class_names[number]

    return Part(name, take, tell)


def _take_plan(state: State, infos: Sequence[CheckpointInfo], names: Sequence[str]) -> None:
    info = chosen_model(infos)
    for name in state:
        if name not in FIELDS:
            raise unknown_name("part of the address", name, [*names, *FIELDS])
    checked = ConfusionPlan.create(_first_values(info) | dict(state))
    fill_form(ConfusionPlan, _form_key(info), checked.model_dump(include={*state, "norm"}))
