"""The learn page: guided tours, a playground in two dimensions, a glossary, tools, for teachers."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.navigation import HIDDEN_KEY, lesson
from app.page.learn.glossary import show_glossary
from app.page.learn.link import LINK, SECTION, SECTIONS, hidden, keep_lesson
from app.page.learn.playground import show_playground
from app.page.learn.present import PRESENT, show_head, show_present_button
from app.page.learn.teacher import show_teacher
from app.page.learn.tools import show_tools
from app.page.learn.tours import show_tours
from app.ui import models

STORY = "Predict first, then see the measurement: a prediction of your own helps you remember it."


def main() -> None:
    """Draw the page."""
    if not st.query_params and HIDDEN_KEY not in st.session_state:
        st.query_params.from_dict(lesson())
    LINK.follow()
    corner = None if PRESENT.value else _show_title()
    LINK.warn()
    section = SECTION.value if PRESENT.value else _pick_section()
    if PRESENT.value and section != "tours":
        show_head(f"**{SECTIONS[section]}**")
    if section == "tours":
        show_tours({info.name: info for info in models.checkpoints()}, hidden())
    elif section == "playground":
        show_playground(hidden())
    elif section == "glossary":
        show_glossary(hidden())
    elif section == "tools":
        show_tools()
    else:
        show_teacher()
    keep_lesson()
    if corner is not None:
        with corner:
            LINK.button()


def _show_title() -> DeltaGenerator:
    """Draw title and story; return the place of the link."""
    left, middle, corner = st.columns([5, 1, 1], vertical_alignment="center")
    left.title("Learn", anchor=False)
    st.markdown(STORY)
    with middle:
        show_present_button()
    return corner


def _pick_section() -> str:
    offered = [name for name in SECTIONS if name == "tours" or name not in hidden()]
    if len(offered) > 1:
        return SECTION.segmented("Section", among=offered, bare=True)
    SECTION.put(offered[0])
    return offered[0]


main()
