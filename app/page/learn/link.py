"""The state of the Learn page in its address, and the controls that a link can hide."""

from collections.abc import Collection
from urllib.parse import urlencode

import streamlit as st

from app.navigation import HIDDEN_KEY, OTHER_PAGES, lesson, lesson_cookie
from app.page.learn.playground import PARTS
from app.page.learn.present import PRESENT
from app.page.learn.tools import SOUGHT
from app.page.learn.tours import STEP, TOUR
from app.ui.browser.cookie import keep_cookie
from app.ui.page_link import PageLink
from app.ui.state import Choice, Part, listed

SECTIONS = {
    "tours": "Guided tours",
    "playground": "Playground",
    "glossary": "Glossary",
    "tools": "When tools disagree",
    "teacher": "For teachers",
}
HIDEABLE = {
    "tours": "the list of tours (the linked tour stays)",
    "playground": "the playground",
    "glossary": "the glossary",
    "tools": "the table When tools disagree",
    "teacher": "the form for teachers",
    "skip": "the answer without a prediction",
    "radius": "the epsilon of the tours' attacks",
    "links": "the links to the other pages",
    "training": "methods and settings of the playground's training",
    "layers": "the choice of the playground's arrows",
    OTHER_PAGES: "all pages but this one",
}
SECTION = Choice("section", "learn.section", SECTIONS)


def hidden() -> Collection[str]:
    """Return the names of the controls that are hidden in this session.

    A new one of a browser in which a link has hidden something begins with the same.
    """
    if HIDDEN_KEY not in st.session_state:
        before = lesson().get("hide", "").split(",")
        st.session_state[HIDDEN_KEY] = tuple(name for name in before if name in HIDEABLE)
    return st.session_state[HIDDEN_KEY]


def keep_lesson() -> None:
    """Let the browser keep where it is in what a link shows, until it is closed."""
    where = urlencode(LINK.state()) if hidden() else ""
    if where or lesson():
        keep_cookie(lesson_cookie(), where, key="learn.lesson")


def _hide(text: str) -> None:
    st.session_state[HIDDEN_KEY] = tuple(listed(text, "hidden control", HIDEABLE))


def _of(section: str, part: Part) -> Part:
    """Return a part that is in the address only while its section is shown."""
    return Part(part.name, part.take, lambda: part.tell() if SECTION.value == section else None)


LINK = PageLink(
    "learn",
    [
        Part("hide", _hide, lambda: ",".join(hidden()) or None),
        PRESENT,
        SECTION,
        _of("tours", TOUR),
        _of("tours", STEP),
        _of("tools", SOUGHT),
        *(_of("playground", part) for part in PARTS),
    ],
)
