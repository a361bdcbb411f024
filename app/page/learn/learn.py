"""The learn page: guided tours, a playground in two dimensions, a glossary, a teacher's link."""

import streamlit as st

from app.page.learn.glossary import show_glossary
from app.page.learn.link import SECTION_KEY, SECTIONS, hidden, learn_link, link_state
from app.page.learn.playground import set_play_defaults, show_playground
from app.page.learn.teacher import show_teacher
from app.page.learn.tours import set_defaults, show_tours
from app.ui import cached

STORY = "Predict first, then let the computer measure. Your guess is what makes the answer stick."


def main() -> None:
    """Draw the page."""
    title, link_place = st.columns([6, 1], vertical_alignment="center")
    title.title("Learn", anchor=False)
    st.markdown(STORY)
    set_play_defaults()
    link = learn_link()
    link.warn()
    set_defaults()
    section = _pick_section()
    if section == "tours":
        show_tours({info.name: info for info in cached.checkpoints()}, hidden())
    elif section == "playground":
        show_playground(hidden())
    elif section == "glossary":
        show_glossary(hidden())
    else:
        show_teacher()
    with link_place:
        link.button(link_state())


def _pick_section() -> str:
    offered = [name for name in SECTIONS if name == "tours" or name not in hidden()]
    if st.session_state.get(SECTION_KEY) not in offered:
        st.session_state[SECTION_KEY] = offered[0]
    if len(offered) > 1:
        st.segmented_control(
            "Section",
            offered,
            format_func=SECTIONS.__getitem__,
            key=SECTION_KEY,
            required=True,
            persist_state="session",
            label_visibility="collapsed",
        )
    return str(st.session_state[SECTION_KEY])


main()
