"""The state of the page Learn in its address, and the controls that a teacher's link hides."""

from collections.abc import Collection

import streamlit as st

from app.page.learn import playground as play
from app.page.learn.all_tours import TOURS
from app.page.learn.playground_measure import DATA, LARGEST_EPSILON, LAYERS, METHODS
from app.page.learn.tours import STEP_KEY, TOUR_KEY
from app.ui.page_link import PageLink, State, Step, number, one_of, only, part
from robust_core.errors import InputError
from robust_core.registry import unknown_name

SECTION_KEY, HIDDEN_KEY = "learn.section", "learn.hidden"
SECTIONS = {
    "tours": "Guided tours",
    "playground": "Playground",
    "glossary": "Glossary",
    "teacher": "For teachers",
}
HIDEABLE = {
    "tours": "the list of tours (the linked tour stays)",
    "playground": "the playground",
    "glossary": "the glossary",
    "teacher": "the form for teachers",
    "skip": "the answer without a prediction",
    "radius": "the radius of the tours' attacks",
    "links": "the links to the other pages",
    "training": "methods and settings of the playground's training",
    "layers": "the choice of what the playground draws",
}
PLAY_KEYS = {
    "data": play.DATA_KEY,
    "left": play.LEFT_KEY,
    "right": play.RIGHT_KEY,
    "points": play.POINTS_KEY,
    "epochs": play.EPOCHS_KEY,
    "radius": play.RADIUS_KEY,
    "seed": play.SEED_KEY,
    "epsilon": play.EPSILON_KEY,
}
NAMES = ("section", "tour", "step", "hide", *PLAY_KEYS, "arrows")
MOST_STEPS = max(len(tour.steps) for tour in TOURS.values())


def hidden() -> Collection[str]:
    """Return the names of the controls that are hidden in this session."""
    return st.session_state.setdefault(HIDDEN_KEY, ())


def learn_link() -> PageLink:
    """Return the link of the page: section, tour with step, playground and hidden controls."""
    return PageLink(
        "learn",
        [
            only(NAMES),
            part("hide", _hide),
            part("section", one_of("section", SECTION_KEY, lambda: list(SECTIONS))),
            part("tour", one_of("tour", TOUR_KEY, lambda: list(TOURS))),
            part("step", number("step", STEP_KEY, 1, MOST_STEPS)),
            _check_step,
            *_play_steps(),
        ],
    )


def link_state() -> dict[str, str]:
    """Return the query parameters that lead back to what the page shows."""
    section = st.session_state[SECTION_KEY]
    state = {"section": section}
    if section == "tours":
        state |= {
            "tour": st.session_state[TOUR_KEY],
            "step": str(st.session_state[STEP_KEY]),
        }
    if section == "playground":
        state |= {name: str(st.session_state[key]) for name, key in PLAY_KEYS.items()}
        state["arrows"] = ",".join(st.session_state[play.LAYERS_KEY])
    if hidden():
        state["hide"] = ",".join(hidden())
    return state


def _play_steps() -> list[Step]:
    """Return the steps that follow the settings of the playground."""
    return [
        part("data", one_of("data", play.DATA_KEY, lambda: list(DATA))),
        part("left", one_of("method", play.LEFT_KEY, lambda: list(METHODS))),
        part("right", one_of("method", play.RIGHT_KEY, lambda: list(METHODS))),
        part("points", number("points", play.POINTS_KEY, *play.POINTS)),
        part("epochs", number("epochs", play.EPOCHS_KEY, *play.EPOCHS)),
        part("radius", number("radius", play.RADIUS_KEY, *play.RADIUS)),
        part("seed", number("seed", play.SEED_KEY, 0, play.LARGEST_SEED)),
        part("epsilon", number("epsilon", play.EPSILON_KEY, 0.0, LARGEST_EPSILON)),
        part("arrows", _show_arrows),
    ]


def _show_arrows(value: str) -> None:
    st.session_state[play.LAYERS_KEY] = _names(value, "kind of arrows", LAYERS)


def _names(value: str, kind: str, known: Collection[str]) -> list[str]:
    """Return names separated by commas, each once.

    Raises:
        InputError: one of them is not known.
    """
    names = [name for name in dict.fromkeys(value.split(",")) if name]
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, list(known))
    return names


def _hide(value: str) -> None:
    st.session_state[HIDDEN_KEY] = tuple(_names(value, "hidden control", HIDEABLE))


def _check_step(state: State) -> None:
    if "step" not in state:
        if "tour" in state:
            st.session_state[STEP_KEY] = 1
        return
    tour = TOURS.get(str(st.session_state.get(TOUR_KEY)))
    if tour is not None and st.session_state.get(STEP_KEY, 1) > len(tour.steps):
        raise InputError(
            f"step should be at most {len(tour.steps)} in the tour {tour.title!r}, got "
            f"{state['step']}"
        )
