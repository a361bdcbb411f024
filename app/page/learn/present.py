"""Present mode: the page as people at the back of a room can read it, steered by keys."""

import streamlit as st

from app.ui.browser.assets import FOLDER
from app.ui.browser.keys import keys_press
from app.ui.state import Number

KEYS = {
    "ArrowRight": "learn.next",
    "ArrowLeft": "learn.back",
    "PageDown": "learn.next",  # these two are what a presenter's remote control sends
    "PageUp": "learn.back",
    "Escape": "learn.leave",
}


class _Present(Number):
    """Whether the page is in present mode, 1 or 0; only the first is in an address."""

    def told(self) -> str | None:
        """Return "1" in present mode."""
        return "1" if self.value else None


PRESENT = _Present("present", "learn.presenting", 0, 1, 0)


def show_present_button() -> None:
    """Draw the button that begins present mode."""
    st.button(
        "Present",
        icon=":material/present_to_all:",
        help="For a projector: large, without the sidebar. Arrow keys go on and back.",
        on_click=PRESENT.put,
        args=(1,),
        key="learn.enter",
    )


def show_head(words: str) -> None:
    """Make the page large, let keys press its buttons, and draw its first line.

    Args:
        words: what is shown, in Markdown; beside it is the button that ends present mode.
    """
    style = (FOLDER / "present.css").read_text(encoding="utf-8")
    st.html(f"<style>{style}</style>")
    keys_press(KEYS, key="learn.keys")
    with st.container(horizontal=True, vertical_alignment="center", key="learn.head"):
        st.markdown(words)
        st.button(
            "Exit",
            icon=":material/close_fullscreen:",
            help="End present mode (Esc)",
            on_click=PRESENT.put,
            args=(0,),
            key="learn.leave",
        )
