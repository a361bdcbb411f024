"""The form that creates a link for a class: a place on the page, and hidden controls."""

from urllib.parse import urlencode

import streamlit as st

from app.navigation import OTHER_PAGES, page_script
from app.page.learn.all_tours import TOURS
from app.page.learn.link import HIDEABLE, SECTIONS
from app.ui import visitor

CHOICE_KEY, TOUR_KEY, STEP_KEY = "learn.teach.section", "learn.teach.tour", "learn.teach.step"
HIDE_KEY = "learn.teach.hide"
PRESENT_CHOICE = "learn.teach.present"
USUALLY_HIDDEN = ("tours", "skip", "teacher", OTHER_PAGES)
STORY = (
    "Create a link for a class: it opens at the place that you choose and hides the controls that "
    "you select. Hiding is no protection: the address shows what is hidden."
)
OPENED = ("tours", "playground", "glossary")


def show_teacher() -> None:
    """Draw the form and its link."""
    st.markdown(STORY)
    form, result = st.columns([1, 1.2], gap="large")
    with form:
        state = _fill_in()
    with result:
        st.markdown("**The link**")
        base = visitor.address_for_others()
        address = f"{base}/learn?{urlencode(state, safe=',')}"
        st.code(address, language=None, wrap_lines=True)
        st.markdown(visitor.reach_words())
        visitor.show_openness()
        st.caption("Copy it with the button in its corner, or try it here first.")
        st.page_link(
            page_script("learn"),
            label="Open the link",
            icon=":material/open_in_new:",
            query_params=state,
        )
        st.markdown(
            f"To show everything again in a browser that has opened it: `{base}/learn?hide=`"
        )


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
    st.session_state.setdefault(PRESENT_CHOICE, False)
    if st.checkbox("Open in present mode", key=PRESENT_CHOICE, persist_state="session"):
        state["present"] = "1"
    st.markdown("**Hide**")
    hidden = []
    for name, words in HIDEABLE.items():
        key = f"{HIDE_KEY}.{name}"
        st.session_state.setdefault(key, name in USUALLY_HIDDEN)
        where_it_opens = name == section and name != "tours"
        if st.checkbox(words, key=key, persist_state="session", disabled=where_it_opens):
            hidden += [] if where_it_opens else [name]
    return state | {"hide": ",".join(hidden)}
