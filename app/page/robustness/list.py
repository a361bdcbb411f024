"""The list of evaluations: their titles and states, and the choice of one."""

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from app.page.robustness.link import SHOWN_KEY, select_evaluation
from app.ui import visitor
from app.ui.units import count_words
from robust_core.evaluation_runs import EvaluationSummary

CHOICE_KEY = "robustness.choice"
MOST_NAMES = 2


def evaluation_title(summary: EvaluationSummary) -> str:
    """Return the title of an evaluation: the one it was given, or its models."""
    names = ", ".join(summary.checkpoints[:MOST_NAMES])
    more = len(summary.checkpoints) - MOST_NAMES
    return summary.title or (f"{names} and {more} more" if more > 0 else names) or summary.run_id


def shown_evaluation(summaries: Sequence[EvaluationSummary]) -> EvaluationSummary | None:
    """Return the one to show: the chosen, else the newest active one, else the newest."""
    chosen = st.session_state.get(SHOWN_KEY)
    first = next((one for one in summaries if one.status.active), next(iter(summaries), None))
    return next((one for one in summaries if one.run_id == chosen), first)


def pick_evaluation(summaries: Sequence[EvaluationSummary], shown: EvaluationSummary) -> None:
    """Draw the list with `shown`, one of `summaries`, marked; a click shows another one."""
    by_id = {one.run_id: one for one in summaries}
    st.session_state[CHOICE_KEY] = shown.run_id
    st.selectbox(
        f"Evaluation ({len(summaries)} in all, newest first)",
        list(by_id),
        format_func=lambda run_id: _label(by_id[run_id]),
        key=CHOICE_KEY,
        on_change=lambda: select_evaluation(st.session_state[CHOICE_KEY]),
    )


def _label(summary: EvaluationSummary) -> str:
    made = f"{datetime.fromtimestamp(summary.created).astimezone():%d %b %H:%M:%S}"
    attacks = count_words(len(summary.attacks), "attack")
    mark = visitor.mark(summary.owner)
    return f"{evaluation_title(summary)} · {attacks} · {made} · {summary.status.words}{mark}"
