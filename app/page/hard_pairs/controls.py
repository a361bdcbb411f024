"""Choosing attack, images and view of the page Hard pairs; its state in the address."""

from collections.abc import Callable, Sequence

import streamlit as st

from app.page.hard_pairs.measure import StudyPlan
from app.ui import cached
from app.ui.forms import fill_form, parameter_form
from app.ui.image_picker import choose_image
from app.ui.model_picker import MODEL_KEY
from app.ui.page_link import PageLink, State, Step, one_of, only, part
from robust_core.analysis.confusion import Denominator
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.registry import unknown_name

CONFUSION, PAIRS, LABELS = "Confusion", "Pairs", "Where they go"
SIMILARITY, LOSS, TARGETED = "Similarity", "Self-paced loss", "Targeted"
GRADIENT, MODELS = "Gradient", "Two models"
VIEWS = (CONFUSION, PAIRS, LABELS, SIMILARITY, GRADIENT, LOSS, TARGETED, MODELS)
VIEW_KEY, AMONG_KEY = "hard_pairs.view", "hard_pairs.among"
OTHER_KEY = "hard_pairs.other"  # the second model of the view Two models
AMONG: dict[Denominator, str] = {"all": "all images", "clean_correct": "right at first"}
FIELDS = tuple(StudyPlan.model_fields)
NAMES = ("model", "other", "data", "image", "view", "among", "labelled", "predicted", *FIELDS)


def cell_keys(info: CheckpointInfo) -> tuple[str, str]:
    """Return the keys of the chosen cell: its label and its predicted class."""
    data = info.config.data.name
    return f"hard_pairs.labelled.{data}", f"hard_pairs.predicted.{data}"


def pick_plan(info: CheckpointInfo) -> StudyPlan | None:
    """Draw attack and number of images; None, with a sentence, if they cannot be used."""
    return parameter_form(
        StudyPlan,
        _form_key(info),
        initial=_first_values(info),
        advanced=("num_images", "loss"),
        sliders={"num_steps": 100.0},
    )


def pick_among() -> Denominator:
    """Draw the switch of the denominator."""
    st.session_state.setdefault(AMONG_KEY, "all")
    chosen = st.segmented_control(
        "Shares are of",
        list(AMONG),
        format_func=lambda name: AMONG[name],
        key=AMONG_KEY,
        required=True,
        persist_state="session",
        help="All images of a class, or only those that the model predicts as labelled without "
        "an attack.",
    )
    return chosen or "all"


def pick_view() -> str:
    """Draw the choice of what is shown."""
    st.session_state.setdefault(VIEW_KEY, CONFUSION)
    chosen = st.segmented_control(
        "View",
        VIEWS,
        key=VIEW_KEY,
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    return chosen or CONFUSION


def link_state(info: CheckpointInfo, plan: StudyPlan) -> dict[str, str]:
    """Return the query parameters that lead back to what the page shows."""
    state = {"model": info.name, "data": info.config.data.name}
    state |= {"view": st.session_state[VIEW_KEY], "among": st.session_state[AMONG_KEY]}
    if OTHER_KEY in st.session_state:
        state["other"] = st.session_state[OTHER_KEY]
    for name, key in zip(("labelled", "predicted"), cell_keys(info), strict=True):
        if (number := st.session_state.get(key)) is not None:
            state[name] = info.class_names[number]
    return state | {name: str(value) for name, value in plan.model_dump(mode="json").items()}


def hard_pairs_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page: its model, attack, number of images, view and cell.

    An image in the address becomes the chosen one of all pages, and its class the chosen one here.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    offered = {info.name: info for info in infos}

    def with_info(step: Callable[[State, CheckpointInfo], None]) -> Step:
        def follow(state: State) -> None:
            wanted = str(st.session_state.get(MODEL_KEY))
            step(state, offered.get(wanted) or next(iter(offered.values())))

        return follow

    steps = [
        only(NAMES),
        part("model", one_of("model", MODEL_KEY, lambda: list(offered))),
        part("other", one_of("other", OTHER_KEY, lambda: list(offered))),
        part("view", one_of("view", VIEW_KEY, lambda: VIEWS)),
        part("among", one_of("among", AMONG_KEY, lambda: list(AMONG))),
        *map(with_info, (_take_data, _take_image, _take_cell, _take_plan)),
    ]
    return PageLink("hard_pairs", steps)


def _form_key(info: CheckpointInfo) -> str:
    return f"hard_pairs.form.{info.config.data.name}"


def _first_values(info: CheckpointInfo) -> dict:
    standard = info.config.data_threat_model()
    return {"norm": standard.norm, "epsilon": standard.epsilon}


def _take_data(state: State, info: CheckpointInfo) -> None:
    data = state.get("data", info.config.data.name)
    if data != info.config.data.name:
        raise InputError(
            f"data should be {info.config.data.name!r}, which {info.name} was trained on, got "
            f"{data!r}"
        )


def _take_image(state: State, info: CheckpointInfo) -> None:
    if "image" not in state:
        return
    choose_image(info, state["image"])
    _, split, index = state["image"].rsplit("/", 2)
    images = cached.load_images(info, split)
    label = int(images.y[images.index == int(index)][0])
    st.session_state[cell_keys(info)[0]] = label


def _take_cell(state: State, info: CheckpointInfo) -> None:
    for name, key in zip(("labelled", "predicted"), cell_keys(info), strict=True):
        if name not in state:
            continue
        if state[name] not in info.class_names:
            raise unknown_name(f"class as {name}", state[name], list(info.class_names))
        st.session_state[key] = info.class_names.index(state[name])


def _take_plan(state: State, info: CheckpointInfo) -> None:
    given = {name: value for name, value in state.items() if name in FIELDS}
    if given:
        checked = StudyPlan.create(_first_values(info) | given)
        fill_form(StudyPlan, _form_key(info), checked.model_dump(include={*given, "norm"}))
