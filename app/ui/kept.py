"""Widgets that keep their value when a person changes the page; a slider with a field beside it."""

from typing import Any, Literal

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

FIELD_WIDTH = 74  # pixels of the field beside a slider: five digits, no buttons
SHOWN_ON = "state.shown_on"  # key of a widget -> the page that drew it last


def page_now() -> str:
    """Return what tells the page that is being drawn from the others."""
    context = get_script_run_ctx()
    return "" if context is None else context.page_script_hash


def kept(key: str) -> dict[str, Any]:
    """Return the arguments of a widget that keeps its value when a person changes the page.

    Streamlit gives the widget another identity on each page. So its value is set again where it is
    drawn on another page than before; else the browser would begin at the widget's default.

    Args:
        key: of the widget, the same on all pages that share the value.
    """
    shown_on = st.session_state.setdefault(SHOWN_ON, {})
    if key in st.session_state and shown_on.get(key) != page_now():
        st.session_state[key] = st.session_state[key]
    shown_on[key] = page_now()
    return {"key": key, "persist_state": "session"}


def slider(
    label: str,
    low: float,
    high: float,
    *,
    key: str,
    step: float,
    start: float | None = None,
    format: str = "%g",
    help: str | None = None,
    width: int | Literal["stretch"] = "stretch",
    keep: bool = True,
) -> Any:
    """Draw a slider with a field beside it to type the same number into; return the number.

    Both show what is in the session under `key`. The field takes values between the slider's steps.

    Args:
        label: of both.
        low: smallest number; whole numbers where this, `high` and `step` are whole.
        high: largest number.
        key: of the slider.
        step: between two places of the slider.
        start: the first value; None: it is in the session already.
        format: of the number on the slider, such as "%g/255".
        help: of the slider.
        width: of both together.
        keep: whether the number outlives the slider, as with `kept`.
    """
    number = int if all(isinstance(one, int) for one in (low, high, step)) else float
    field = f"{key}.field"
    if start is not None:
        st.session_state.setdefault(key, number(start))
    named = kept(key) if keep else {"key": key}

    def follow() -> None:
        st.session_state[key] = st.session_state[field]

    limits = number(low), number(high)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", width=width):
        more = {"step": number(step), "format": format, "help": help, **named}
        found = st.slider(label, *limits, **more)
        if st.session_state.get(field) != found:
            st.session_state[field] = found
        st.number_input(
            f"{label}, typed",
            *limits,
            step=number(step),
            format="%d" if number is int else "%g",
            key=field,
            on_change=follow,
            label_visibility="collapsed",
            width=FIELD_WIDTH,
        )
    return found
