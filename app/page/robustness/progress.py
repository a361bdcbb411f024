"""One evaluation: its state, progress and actions."""

import time

import streamlit as st

from app.page.robustness.edit import show_edit
from app.page.robustness.link import select_evaluation
from app.ui.job_controls import JobKind, explain, show_delete, show_main_action
from app.ui.plain import in_markdown
from app.ui.run_list import state_badge
from app.ui.units import duration_words, percent
from robust_core.attacks.description import attack_title
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationSummary

EVALUATION = JobKind(
    page="robustness",
    stop_label="Cancel",
    stop_help="Stops and keeps the complete batches; Resume continues from there.",
    resume_help="Continues after the last complete batch; the results are as without a stop.",
    question="Permanently delete this evaluation and its results?",
    piece="batch",
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
        if summary.checkpoints:  # its plan can be read
            show_edit(run.plan(), summary.run_id)
    if status.state != "finished":
        st.progress(min(1.0, max(0.0, status.share)), in_markdown(_words(summary)))
    explain(EVALUATION, run, status)


def _words(summary: EvaluationSummary) -> str:
    """Return how far it is; while it is at work something of it changes all the time."""
    status = summary.status
    words = [f"{percent(status.share)} done"]
    if status.active:
        attack = attack_title(status.attack) if status.attack else ""
        words += filter(None, (status.checkpoint, attack, status.phase, status.check))
        if status.passes:
            words.append(f"{status.passes:,} passes of an image")
        elif status.share == 0.0:
            words.append(f"loading for {duration_words(max(0.0, time.time() - summary.created))}")
        if status.seconds_left is not None:
            words.append(f"about {duration_words(status.seconds_left)} left")
    return " · ".join(words)
