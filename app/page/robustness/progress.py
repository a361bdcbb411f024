"""One evaluation: where it stands and what can be done with it."""

import streamlit as st

from app.page.robustness.link import select_evaluation
from app.ui.job_controls import JobKind, explain, show_delete, show_main_action
from app.ui.run_list import state_badge
from app.ui.units import duration_words
from robust_core import job_control
from robust_core.attacks.description import attack_title
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationStatus
from robust_core.job_control import EvaluationSummary

EVALUATION = JobKind(
    page="robustness",
    stop_label="Cancel",
    stop_help="Stops; complete batches are kept, and Resume goes on from there.",
    resume_help="Goes on after the last complete batch and ends with the same numbers.",
    question="Delete this evaluation and its results for good?",
    piece="batch",
    stop=job_control.stop_evaluation,
    resume=job_control.resume_evaluation,
    delete=job_control.delete_evaluation,
    forget=lambda: select_evaluation(None),
)


def show_progress(summary: EvaluationSummary, run: EvaluationDirectory) -> None:
    """Draw state, actions and progress."""
    status = summary.status
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(status)
        st.caption(summary.run_id, width="content")
        show_main_action(EVALUATION, run, status)
        show_delete(EVALUATION, run, status)
    if status.state != "finished":
        st.progress(min(1.0, max(0.0, status.share)), _words(status))
    explain(EVALUATION, status)


def _words(status: EvaluationStatus) -> str:
    words = [f"{status.share:.0%} done"]
    if status.active:
        attack = attack_title(status.attack) if status.attack else ""
        words += filter(None, (status.checkpoint, attack, status.phase))
        if status.seconds_left is not None:
            words.append(f"about {duration_words(status.seconds_left)} left")
    return " · ".join(words)
