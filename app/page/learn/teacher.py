"""The form that makes a teacher's link: a place on the page, and what is hidden there."""

from urllib.parse import urlencode

import streamlit as st

from app.navigation import page_script
from app.page.learn.all_tours import TOURS
from app.page.learn.link import HIDEABLE, SECTIONS

CHOICE_KEY, TOUR_KEY, STEP_KEY = "learn.teach.section", "learn.teach.tour", "learn.teach.step"
HIDE_KEY = "learn.teach.hide"
USUALLY_HIDDEN = ("tours", "skip", "teacher")
STORY = (
    "Make a link for a class: it opens at the place that you choose, and leaves out what would "
    "distract. Hiding is help, not protection: the address shows what is hidden."
)
OPENED = ("tours", "playground", "glossary")


def show_teacher() -> None:
    """Draw the form and the link that it makes."""
    st.markdown(STORY)
    form, result = st.columns([1, 1.2], gap="large")
    with form:
        state = _fill_in()
    with result:
        st.markdown("**The link**")
        address = f"{_base()}/learn?{urlencode(state, safe=',')}"
        st.code(address, language=None, wrap_lines=True)
        st.caption("Copy it by the button in its corner, or try it here first.")
        st.page_link(
            page_script("learn"),
            label="Open the link",
            icon=":material/open_in_new:",
            query_params=state,
        )
        st.caption("To get everything back, open the page without “hide” in its address.")


def _fill_in() -> dict[str, str]:
    st.session_state.setdefault(CHOICE_KEY, "tours")
    section = st.segmented_control(
        "Opens at",
        OPENED,
        format_func=SECTIONS.__getitem__,
        key=CHOICE_KEY,
        required=True,
        persist_state="session",
    )
    state = {"section": str(section)}
    if section == "tours":
        name = st.selectbox(
            "Tour",
            list(TOURS),
            format_func=lambda name: TOURS[name].title,
            key=TOUR_KEY,
            persist_state="session",
        )
        last = len(TOURS[name].steps)
        st.session_state[STEP_KEY] = min(st.session_state.get(STEP_KEY, 1), last)
        step = st.number_input("Step", 1, last, key=STEP_KEY, persist_state="session")
        state |= {"tour": name, "step": str(step)}
    st.markdown("**Leave out**")
    left_out = []
    for name, words in HIDEABLE.items():
        key = f"{HIDE_KEY}.{name}"
        st.session_state.setdefault(key, name in USUALLY_HIDDEN)
        where_it_opens = name == section and name != "tours"
        if st.checkbox(words, key=key, persist_state="session", disabled=where_it_opens):
            left_out += [] if where_it_opens else [name]
    return state | {"hide": ",".join(left_out)}


def _base() -> str:
    """Return the address of the dashboard as the visitor's browser knows it."""
    url = st.context.url or ""
    return url.rstrip("/").removesuffix("/learn")
