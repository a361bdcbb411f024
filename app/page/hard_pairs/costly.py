"""A button in front of costly work: cost, progress, result."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from app.page.hard_pairs.measure import OnShare
from app.ui import cached
from app.ui.units import duration_words

PROGRESS_INTERVAL = 0.1  # seconds between two updates of the progress bar

R = TypeVar("R")
Work = Callable[[Callable[[], None], OnShare], R]


@dataclass(frozen=True)
class Cost:
    """What work takes: forward-backward passes of one image, and seconds on this machine."""

    passes: int
    seconds: float


def run_button(label: str, cost: Cost, *, primary: bool = False) -> bool:
    """Draw a button and what it costs; return whether it was pressed."""
    pressed = st.button(
        label,
        type="primary" if primary else "secondary",
        icon=":material/bolt:",
        width="stretch" if primary else "content",
    )
    st.caption(
        f"Cost: {cost.passes:,} forward-backward passes of one image, "
        f"{duration_words(cost.seconds)} by a measurement here."
    )
    return pressed


def with_progress(work: Work[R], words: str) -> R:
    """Return what `work` returns; draw how far it is, and stop where a newer request took over.

    Args:
        work: called with the check that ends it and with what it tells its progress.
        words: what is being done.
    """
    check = cached.latest_only("hard_pairs").begin()
    place, shown = st.empty(), 0.0

    def report(share: float) -> None:
        nonlocal shown
        if time.perf_counter() - shown > PROGRESS_INTERVAL:
            shown = time.perf_counter()
            place.progress(min(share, 1.0), f"{words}: {share:.0%}")

    try:
        return work(check, report)
    except cached.Superseded:
        st.stop()
    finally:
        place.empty()


def after_button(label: str, teaser: str, words: str, *, cost: Cost, work: Work[R]) -> R | None:
    """Draw a button that starts costly work and leaves when it is done; None until then.

    Args:
        label: of the button.
        teaser: what the button will show.
        words: what is being done.
        cost: passes and seconds.
        work: as of `with_progress`.
    """
    place = st.empty()
    with place.container():
        pressed = run_button(label, cost)
        if not pressed:
            st.info(teaser)
            return None
    found = with_progress(work, words)
    place.empty()
    return found
