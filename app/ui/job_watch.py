"""A part of a page that follows child processes by their files."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import streamlit as st

from robust_core.jobs.directory import WorkStatus

POLLING = 2  # seconds


class Summary(Protocol):
    """A run or an evaluation in a list."""

    @property
    def status(self) -> WorkStatus:
        """Where it stands."""
        ...


SummaryT = TypeVar("SummaryT", bound=Summary)


def follow(
    list_all: Callable[[], Sequence[SummaryT]], draw: Callable[[Sequence[SummaryT]], None]
) -> None:
    """Draw runs or evaluations, again and again while any of them is active.

    Args:
        list_all: returns all of them, the newest first.
        draw: draws the shown one and the list.
    """

    def watch(polling: bool) -> None:
        summaries = list_all()
        if _any_active(summaries) != polling:
            st.rerun()  # the timer has to be started or ended
        draw(summaries)

    polling = _any_active(list_all())
    st.fragment(watch, run_every=POLLING if polling else None)(polling)


def _any_active(summaries: Sequence[Summary]) -> bool:
    return any(summary.status.active for summary in summaries)
