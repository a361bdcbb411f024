"""The layout of a page: title, link, controls on the left, results on the right."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.ui.browser.skip_link import skip_link
from app.ui.forms import show_input_error
from app.ui.page_link import PageLink
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

RESULT, CONTROLS = "page.result", "page.controls"
NO_MODELS = "There is no model yet: train one on the page Train, then return here."
Infos = Sequence[CheckpointInfo]


@dataclass(frozen=True)
class Page:
    """The areas of a page: corner beside the title, controls on the left, results (stage)."""

    link: PageLink
    corner: DeltaGenerator
    controls: DeltaGenerator
    stage: DeltaGenerator

    def copy_link(self, more: Mapping[str, str] | None = None) -> None:
        """Draw the button that copies the link; `more` are further query parameters."""
        with self.corner:
            self.link.button(more)


def open_head(title: str, story: str) -> DeltaGenerator:
    """Draw title and introduction of a page; return the corner for the button "Copy link"."""
    left, corner = st.columns([6, 1], vertical_alignment="center")
    left.title(title, anchor=False)
    if story:
        st.markdown(story)
    return corner


def open_page(
    title: str, story: str, infos: Infos, link: Callable[[Infos], PageLink]
) -> Page | None:
    """Draw the head of a page and apply its address; None, with a message, without a model.

    Args:
        title: the title.
        story: one or two introductory sentences; may be empty.
        infos: the checkpoints that the page offers.
        link: returns the link of the page for them.
    """
    corner = open_head(title, story)
    if not infos:
        st.info(NO_MODELS)
        return None
    followed = link(infos)
    followed.warn()
    skip_link("Model and settings", to=CONTROLS, key="page.to_controls", seen=True)
    with st.container(key="page.pictures_first"):  # on a phone
        controls, stage = areas([1, 3.2])
    return Page(followed, corner, controls.container(key=CONTROLS), stage)


def areas(widths: Sequence[float]) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Return places for controls and results, and draw the link over the controls.

    Args:
        widths: of both, relative to each other.
    """
    skip_link("Skip to the result", to=RESULT, key="page.skip")
    controls, results = st.columns(widths, gap="large")
    return controls, results.container(key=RESULT)


@contextmanager
def input_errors(place: DeltaGenerator | None = None) -> Iterator[None]:
    """Show an `InputError` raised inside as one sentence, in `place` or at the current position."""
    try:
        yield
    except InputError as error:
        with place or nullcontext():
            show_input_error(error)
