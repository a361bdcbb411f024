"""What can be done with a run or an evaluation, why it does not go on, and its log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.ui.forms import show_input_error
from app.ui.units import duration_words
from robust_core.errors import InputError
from robust_core.jobs.directory import WorkDirectory, WorkStatus

LOG_LINES = 14


@dataclass(frozen=True)
class JobKind:
    """One kind of work: what its buttons do and how the page speaks of it.

    Attributes:
        page: the first part of every key.
        stop_label, stop_help: of the button that stops it. resume_help: of the one that goes on.
        question: asked before it is deleted.
        piece: what is kept when it ends early, such as "epoch".
        stop, resume, delete: what is done, given its id.
        forget: called when the shown one is gone.
    """

    page: str
    stop_label: str
    stop_help: str
    resume_help: str
    question: str
    piece: str
    stop: Callable[[str], None]
    resume: Callable[[str], None]
    delete: Callable[[str], None]
    forget: Callable[[], None]

    @property
    def problem_key(self) -> str:
        """Where a refusal waits until the page is drawn."""
        return f"{self.page}.problem"


def show_main_action(kind: JobKind, run: WorkDirectory[Any], status: WorkStatus) -> None:
    """Draw the button that stops active work or goes on with what did not finish."""
    if status.active:
        stopping = run.stop_requested()
        st.button(
            "Stopping …" if stopping else kind.stop_label,
            icon=":material/stop:",
            disabled=stopping,
            help=kind.stop_help,
            on_click=_attempt,
            args=(kind, kind.stop, run.run_id),
            key=f"{kind.page}.stop.{run.run_id}",
        )
    elif status.state != "finished":
        st.button(
            "Resume",
            icon=":material/resume:",
            help=kind.resume_help,
            on_click=_attempt,
            args=(kind, kind.resume, run.run_id),
            key=f"{kind.page}.resume.{run.run_id}",
        )


def show_delete(kind: JobKind, run: WorkDirectory[Any], status: WorkStatus) -> None:
    """Draw the button that deletes work that is not active, after a question."""
    if status.active:
        return
    key = f"{kind.page}.delete.{run.run_id}"
    with st.popover("Delete", icon=":material/delete:", key=key):
        st.markdown(kind.question)
        st.button("Yes, delete it", on_click=_delete, args=(kind, run.run_id), key=f"{key}.yes")


def explain(kind: JobKind, status: WorkStatus) -> None:
    """Say what was refused, why the work does not go on, and how it ended."""
    problem = st.session_state.pop(kind.problem_key, None)
    if problem is not None:
        show_input_error(problem)
    if status.state == "failed" and status.error:
        show_input_error(InputError(status.error))
    elif status.state == "lost":
        age = status.heartbeat_age
        since = "ever" if age is None else f"for {duration_words(age)}"
        st.warning(
            f"Its process has given no sign of life {since}. Resume goes on after its last "
            f"complete {kind.piece}.",
            icon=":material/link_off:",
        )
    if status.note:
        st.info(status.note[:1].upper() + status.note[1:], icon=":material/info:")


def show_log(kind: JobKind, run: WorkDirectory[Any]) -> None:
    """Draw the end of the log."""
    lines = run.log_tail(LOG_LINES)
    with st.expander("Log", icon=":material/notes:", key=f"{kind.page}.log.{run.run_id}"):
        st.code("\n".join(lines) or "Nothing yet.", language=None, wrap_lines=True)


def _attempt(kind: JobKind, action: Callable[[str], None], run_id: str) -> None:
    try:
        action(run_id)
    except InputError as error:
        st.session_state[kind.problem_key] = error


def _delete(kind: JobKind, run_id: str) -> None:
    _attempt(kind, kind.delete, run_id)
    if kind.problem_key not in st.session_state:
        kind.forget()
