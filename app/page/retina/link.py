"""The state of the retina page in its address."""

from collections.abc import Sequence

import streamlit as st

from app.page.retina.sampling import ADJUSTABLE
from app.page.retina.settings import (
    LABELS,
    LARGEST_SEED,
    SEED_KEY,
    centre_key,
    fixation,
    limits,
    setting_key,
)
from app.ui.image_picker import ChosenImage, choose_image
from app.ui.model_picker import MODEL_KEY
from app.ui.page_link import PageLink, State, number, one_of, only, part
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.models.retina.classifier import RetinotopicParameters

NAMES = ("model", "image", "column", "row", "seed", *ADJUSTABLE)


def link_state(
    info: CheckpointInfo, image: ChosenImage, settings: RetinotopicParameters
) -> dict[str, str]:
    """Return the query parameters that lead back to this state; an uploaded picture is left out."""
    column, row = fixation(info)
    state = {"model": info.name, "column": str(column), "row": str(row)}
    if image.image_id is not None:
        state["image"] = image.image_id
    state |= {name: str(getattr(settings, name)) for name in ADJUSTABLE}
    return state | {"seed": str(st.session_state[SEED_KEY])}


def retina_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page: model, image, fixation, sampling and seed.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    offered = {info.name: info for info in infos}

    def shown() -> CheckpointInfo:
        wanted = st.session_state.get(MODEL_KEY)
        return offered.get(str(wanted)) or next(iter(offered.values()))

    def take_setting(name: str, value: str) -> None:
        info = shown()
        low, high, _ = limits(info, name)
        number(LABELS[name], setting_key(info, name), low, high)(value)

    steps = [part(name, lambda value, name=name: take_setting(name, value)) for name in ADJUSTABLE]
    return PageLink(
        "retina",
        [
            only(NAMES),
            part("model", one_of("model", MODEL_KEY, lambda: list(offered))),
            part("image", lambda value: choose_image(shown(), value)),
            lambda state: _take_fixation(state, shown()),
            *steps,
            part("seed", number("seed", SEED_KEY, 0, LARGEST_SEED)),
        ],
    )


def _take_fixation(state: State, info: CheckpointInfo) -> None:
    """Move the fixation to the column and row of the address; what is missing stays."""
    _, height, width = info.image_shape
    found = []
    for name, size, now in zip(("column", "row"), (width, height), fixation(info), strict=True):
        value = state.get(name, str(int(now)))
        if not (value.isascii() and value.isdigit() and int(value) < size):
            raise InputError(f"{name} should be a whole number in [0, {size - 1}], got {value!r}")
        found.append(int(value))
    st.session_state[centre_key(info)] = tuple(found)
