"""A part of a page that is updated while background jobs run."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import streamlit as st

from app.ui import visitor
from robust_core import jobs
from robust_core.jobs.directory import WorkStatus

POLLING = 2  # seconds


class Summary(Protocol):
    """A run or an evaluation in a list."""

    @property
    def status(self) -> WorkStatus:
        """Its state."""
        ...


SummaryT = TypeVar("SummaryT", bound=Summary)


def follow(
    list_all: Callable[[], Sequence[SummaryT]], draw: Callable[[Sequence[SummaryT]], None]
) -> None:
    """Draw runs or evaluations, repeatedly while any of them is at work or waits.

    Args:
        list_all: returns all of them, newest first.
        draw: draws the selected one and the list.
    """

    def watch(polling: bool) -> None:
        jobs.start_waiting()
        summaries = list_all()
        if _any_active(summaries) != polling:
            st.rerun()  # to start or stop the timer
        draw(summaries)

    visitor.remember()
    visitor.show_openness()
    polling = _any_active(list_all())
    st.fragment(watch, run_every=POLLING if polling else None)(polling)


def _any_active(summaries: Sequence[Summary]) -> bool:
    return any(summary.status.pending for summary in summaries)
