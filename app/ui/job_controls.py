"""Buttons, error messages and log of a run or an evaluation."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.ui import visitor
from app.ui.forms import show_input_error
from app.ui.plain import in_markdown
from app.ui.units import capitalised
from robust_core import jobs
from robust_core.errors import InputError
from robust_core.jobs.directory import WorkDirectory, WorkStatus

DOUBLE_CLICK = 2.0  # seconds in which a second press starts nothing
LOG_LINES = 14


@dataclass(frozen=True)
class JobKind:
    """One kind of work: the actions of its buttons and its texts.

    Attributes:
        page: prefix of every key.
        stop_label, stop_help: of the stop button. resume_help: of the resume button.
        question: asked before deletion.
        piece: unit of saved progress, such as "epoch".
        forget: called after deletion.
    """

    page: str
    stop_label: str
    stop_help: str
    resume_help: str
    question: str
    piece: str
    forget: Callable[[], None]

    @property
    def problem_key(self) -> str:
        """Session key of an error that is shown when the page is drawn."""
        return f"{self.page}.problem"


def start(page: str, plan: Any, select: Callable[[str], None]) -> None:
    """Start a job and select it, unless the button was pressed twice; show why it cannot start.

    Args:
        page: prefix of the key that remembers when the last job was started.
        plan: what to do, as `jobs.start` takes it.
        select: called with the id of the new job.
    """
    key = f"{page}.started"
    if time.monotonic() - st.session_state.get(key, -1e9) < DOUBLE_CLICK:
        return
    try:
        run_id = jobs.start(plan, owner=visitor.own_id(), max_owned=visitor.most_runs())
    except InputError as error:
        show_input_error(error)
        return
    st.session_state[key] = time.monotonic()
    select(run_id)


def show_main_action(kind: JobKind, run: WorkDirectory[Any, Any], status: WorkStatus) -> None:
    """Draw the button that stops active work or resumes unfinished work."""
    if not visitor.may("stop" if status.active else "resume", run):
        return
    if status.active:
        stopping = status.stopping
        st.button(
            "Stopping …" if stopping else kind.stop_label,
            icon=":material/stop:",
            disabled=stopping,
            help=kind.stop_help,
            on_click=_attempt,
            args=(kind, _stop, run),
            key=f"{kind.page}.stop.{run.run_id}",
        )
    elif status.state not in ("finished", "queued"):
        st.button(
            "Resume",
            icon=":material/resume:",
            help=kind.resume_help,
            on_click=_attempt,
            args=(kind, _resume, run),
            key=f"{kind.page}.resume.{run.run_id}",
        )


def show_delete(kind: JobKind, run: WorkDirectory[Any, Any], status: WorkStatus) -> None:
    """Draw the button that deletes inactive work, with a confirmation."""
    if status.active or not visitor.may(_end_of(status), run):
        return
    key = f"{kind.page}.delete.{run.run_id}"
    label = "Leave the queue" if status.state == "queued" else "Delete"
    with st.popover(label, icon=":material/delete:", key=key):
        st.markdown(kind.question)
        st.button("Yes, delete it", on_click=_delete, args=(kind, run), key=f"{key}.yes")


def explain(kind: JobKind, run: WorkDirectory[Any, Any], status: WorkStatus) -> None:
    """Show a rejected action, an error, or a note on how the work ended."""
    problem = st.session_state.pop(kind.problem_key, None)
    if problem is not None:
        show_input_error(problem)
    if status.state == "failed" and status.error:
        show_input_error(InputError(status.error))
    elif status.state == "lost":
        st.warning(
            f"Its process is gone: it was killed, or the machine stopped. Resume continues after "
            f"the last complete {kind.piece}.",
            icon=":material/link_off:",
        )
    elif status.state == "queued":
        st.info(
            f"Waits for a free place, {jobs.before(run)} before you: it starts when other runs "
            "have ended.",
            icon=":material/hourglass:",
        )
    elif status.silent:
        st.warning(
            f"{capitalised(status.words)}: its process is there but does not "
            f"respond. It may hang or be paused; end the process, and Resume continues after the "
            f"last complete {kind.piece}.",
            icon=":material/hourglass_disabled:",
        )
    if status.note:
        st.info(in_markdown(capitalised(status.note)), icon=":material/info:")


def show_log(kind: JobKind, run: WorkDirectory[Any, Any]) -> None:
    """Draw the last lines of the log."""
    lines = run.log_tail(LOG_LINES)
    with st.expander("Log", icon=":material/notes:", key=f"{kind.page}.log.{run.run_id}"):
        st.code("\n".join(lines) or "Nothing yet.", language=None, wrap_lines=True)


def _attempt(
    kind: JobKind, action: Callable[[WorkDirectory[Any, Any]], None], run: WorkDirectory[Any, Any]
) -> None:
    try:
        action(run)
    except InputError as error:
        st.session_state[kind.problem_key] = error


def _stop(run: WorkDirectory[Any, Any]) -> None:
    visitor.check("stop", run)
    jobs.stop(run)


def _resume(run: WorkDirectory[Any, Any]) -> None:
    visitor.check("resume", run)
    jobs.resume(run, max_owned=visitor.most_runs())


def _end(run: WorkDirectory[Any, Any]) -> None:
    visitor.check(_end_of(run.status()), run)
    jobs.delete(run)


def _end_of(status: WorkStatus) -> visitor.Action:
    """Return what deleting a run is: one that waits only leaves the queue."""
    return "leave" if status.state == "queued" else "delete"


def _delete(kind: JobKind, run: WorkDirectory[Any, Any]) -> None:
    _attempt(kind, _end, run)
    if kind.problem_key not in st.session_state:
        kind.forget()
