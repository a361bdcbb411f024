"""The state of the gradients page in its address."""

from collections.abc import Sequence

import streamlit as st

from app.page.gradients.controls import MOST_MODELS, VIEW_KEY, VIEWS, models_key
from app.page.gradients.maps import DISPLAY_KEY, DISPLAYS, KIND_KEY, KINDS, SCORE_KEY
from app.page.gradients.morph import EPSILON_KEY, LARGEST
from app.page.gradients.synthesis import LARGEST_SEED, SEED_KEY, TASK_KEY, TASKS
from app.ui.image_picker import ChosenImage, choose_image
from app.ui.model_picker import MODEL_KEY
from app.ui.page_link import PageLink, State, Step, number, one_of, only, part
from robust_core.analysis.alignment import SCORES
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.registry import unknown_name

NAMES = ("model", "image", "with", "view", "score", "display", "targets", "epsilon", "task", "seed")
KEYS = {
    "view": VIEW_KEY,
    "score": SCORE_KEY,
    "display": DISPLAY_KEY,
    "targets": KIND_KEY,
    "epsilon": EPSILON_KEY,
    "task": TASK_KEY,
    "seed": SEED_KEY,
}


def link_state(models: Sequence[CheckpointInfo], image: ChosenImage) -> dict[str, str]:
    """Return the query parameters that lead back here; an uploaded picture is left out."""
    state = {"model": models[0].name, "with": ",".join(info.name for info in models[1:])}
    if image.image_id is not None:
        state["image"] = image.image_id
    for name, key in KEYS.items():
        if key in st.session_state:
            state[name] = str(st.session_state[key])
    return state


def gradients_page_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    offered = {info.name: info for info in infos}

    def shown() -> CheckpointInfo:
        return offered.get(str(st.session_state.get(MODEL_KEY))) or next(iter(offered.values()))

    return PageLink(
        "gradients",
        [
            only(NAMES),
            part("model", one_of("model", MODEL_KEY, lambda: list(offered))),
            part("image", lambda image_id: choose_image(shown(), image_id)),
            rivals_step(infos),
            part("view", one_of("view", VIEW_KEY, lambda: list(VIEWS))),
            part("score", one_of("score", SCORE_KEY, lambda: list(SCORES))),
            part("display", one_of("display", DISPLAY_KEY, lambda: list(DISPLAYS))),
            part("targets", one_of("kind of targets", KIND_KEY, lambda: list(KINDS))),
            part("epsilon", number("epsilon", EPSILON_KEY, 0.0, LARGEST)),
            part("task", one_of("task", TASK_KEY, lambda: list(TASKS))),
            part("seed", number("seed", SEED_KEY, 0, LARGEST_SEED)),
        ],
    )


def rivals_step(infos: Sequence[CheckpointInfo]) -> Step:
    """Return the step that follows `with`: the names of the models compared with the chosen one.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    offered = {info.name: info for info in infos}

    def take(state: State) -> None:
        if "with" not in state:
            return
        names = list(dict.fromkeys(name for name in state["with"].split(",") if name))
        for name in names:
            if name not in offered:
                raise unknown_name("model", name, list(offered))
        chosen = offered.get(str(st.session_state.get(MODEL_KEY))) or next(iter(offered.values()))
        st.session_state[models_key(chosen.config.data.name)] = names[: MOST_MODELS - 1]

    return take
