"""The list of runs with their states, and the selected one."""

from collections.abc import Container, Sequence
from datetime import datetime

import streamlit as st

from app.ui import visitor
from app.ui.plain import in_markdown
from app.ui.run_link import RUN_KEY, select_run
from robust_core.jobs.directory import WorkStatus
from robust_core.training.directory import RunSummary

CHOICE_KEY = "train.run_choice"
MOST_WITHOUT_SCROLLING = 7
STATES = {  # state, or stopping -> icon, colour
    "queued": (":material/hourglass:", "violet"),
    "starting": (":material/hourglass_top:", "blue"),
    "running": (":material/directions_run:", "blue"),
    "stopping": (":material/stop_circle:", "orange"),
    "finished": (":material/check_circle:", "green"),
    "stopped": (":material/pause_circle:", "gray"),
    "failed": (":material/error:", "red"),
    "lost": (":material/link_off:", "orange"),
}


def run_title(run: RunSummary) -> str:
    """Return the title of a run: its own, or its data set and method."""
    return run.title or " · ".join(filter(None, (run.data, run.method))) or run.run_id


def state_badge(status: WorkStatus) -> None:
    """Draw the state as a badge with word, icon and colour."""
    icon, colour = STATES["stopping" if status.stopping else status.state]
    st.badge(status.words, icon=icon, color=colour)  # pyright: ignore[reportArgumentType]


def shown_run(runs: Sequence[RunSummary]) -> RunSummary | None:
    """Return the selected run, else the newest active one, else the newest."""
    chosen = st.session_state.get(RUN_KEY)
    first = next((run for run in runs if run.status.active), next(iter(runs), None))
    return next((run for run in runs if run.run_id == chosen), first)


def pick_run(runs: Sequence[RunSummary], shown: RunSummary) -> None:
    """Draw the list of runs with `shown` selected; a click selects another one."""
    by_id = {run.run_id: run for run in runs}
    st.session_state[CHOICE_KEY] = shown.run_id
    tall = len(runs) > MOST_WITHOUT_SCROLLING
    with st.container(height=460 if tall else "content", border=False):
        st.radio(
            "Runs",
            list(by_id),
            format_func=lambda run_id: _label(by_id[run_id]),
            captions=[_caption(run) for run in runs],
            key=CHOICE_KEY,
            on_change=lambda: _choose(by_id),
            label_visibility="collapsed",
        )


def _choose(known: Container[str]) -> None:
    """Select the chosen run; ignore labels that have changed since they were drawn."""
    if st.session_state[CHOICE_KEY] in known:
        select_run(st.session_state[CHOICE_KEY])


def _label(run: RunSummary) -> str:
    icon, colour = STATES[run.status.state]
    return f":{colour}[{icon}] {in_markdown(run_title(run))}"


def _caption(run: RunSummary) -> str:
    status = run.status
    made = f"{datetime.fromtimestamp(run.created).astimezone():%d %b %H:%M}"
    return f"{status.words}, {status.epoch}/{status.num_epochs} · {made}{visitor.mark(run.owner)}"
