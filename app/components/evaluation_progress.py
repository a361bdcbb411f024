"""One evaluation: where it stands, what can be done with it, its log."""

from collections.abc import Callable

import streamlit as st

from app.components.evaluation_link import select_evaluation
from app.components.run_list import state_badge
from app.forms import show_input_error
from app.units import duration_words
from app.words import attack_title
from robust_core import jobs
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationStatus
from robust_core.jobs import EvaluationSummary

LOG_LINES = 14
PROBLEM = "robustness.problem"


def show_progress(summary: EvaluationSummary, run: EvaluationDirectory) -> None:
    """Draw state, actions and progress."""
    status = summary.status
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(status)
        st.caption(summary.run_id, width="content")
        _actions(summary, run)
    if status.state != "finished":
        st.progress(min(1.0, max(0.0, status.share)), _words(status))
    _explain(status)


def show_log(run: EvaluationDirectory) -> None:
    """Draw the end of the log."""
    lines = run.log_tail(LOG_LINES)
    with st.expander("Log", icon=":material/notes:", key=f"robustness.log.{run.run_id}"):
        st.code("\n".join(lines) or "Nothing yet.", language=None, wrap_lines=True)


def _words(status: EvaluationStatus) -> str:
    words = [f"{status.share:.0%} done"]
    if status.active:
        attack = attack_title(status.attack) if status.attack else ""
        words += filter(None, (status.checkpoint, attack, status.phase))
        if status.seconds_left is not None:
            words.append(f"about {duration_words(status.seconds_left)} left")
    return " · ".join(words)


def _actions(summary: EvaluationSummary, run: EvaluationDirectory) -> None:
    run_id, status = summary.run_id, summary.status
    if status.active:
        stopping = run.stop_requested()
        st.button(
            "Stopping …" if stopping else "Cancel",
            icon=":material/stop:",
            disabled=stopping,
            help="Stops; complete batches are kept, and Resume goes on from there.",
            on_click=_attempt,
            args=(jobs.stop_evaluation, run_id),
            key=f"robustness.stop.{run_id}",
        )
        return
    if status.state != "finished":
        st.button(
            "Resume",
            icon=":material/resume:",
            help="Goes on after the last complete batch and ends with the same numbers.",
            on_click=_attempt,
            args=(jobs.resume_evaluation, run_id),
            key=f"robustness.resume.{run_id}",
        )
    with st.popover("Delete", icon=":material/delete:", key=f"robustness.delete.{run_id}"):
        st.markdown("Delete this evaluation and its results for good?")
        st.button(
            "Yes, delete it",
            on_click=_delete,
            args=(run_id,),
            key=f"robustness.delete.{run_id}.yes",
        )


def _attempt(action: Callable[[str], None], run_id: str) -> None:
    try:
        action(run_id)
    except InputError as error:
        st.session_state[PROBLEM] = error


def _delete(run_id: str) -> None:
    _attempt(jobs.delete_evaluation, run_id)
    if PROBLEM not in st.session_state:
        select_evaluation(None)


def _explain(status: EvaluationStatus) -> None:
    """Say why an evaluation does not go on."""
    problem = st.session_state.pop(PROBLEM, None)
    if problem is not None:
        show_input_error(problem)
    if status.state == "failed" and status.error:
        show_input_error(InputError(status.error))
    elif status.state == "lost":
        age = status.heartbeat_age
        since = "ever" if age is None else f"for {duration_words(age)}"
        st.warning(
            f"Its process has given no sign of life {since}. Resume goes on after its last "
            "complete batch.",
            icon=":material/link_off:",
        )
