"""The training page: start a run, follow it, open its model on the other pages."""

from collections.abc import Sequence

import streamlit as st

from app.navigation import page_script
from app.page.train.form import new_run
from app.page.train.progress import show_run
from app.ui.job_watch import follow
from app.ui.page import areas, open_head
from app.ui.run_link import LINK
from app.ui.run_list import pick_run, shown_run
from robust_core import jobs
from robust_core.training.directory import RunDirectory, RunSummary

STORY = (
    "Choose a training method, press Start, and watch how clean and robust accuracy develop: "
    "defences usually trade some of the first for the second."
)
EMPTY = (
    "No run yet. Press **Start training** on the left: the quick preset trains a small network "
    "against PGD on handwritten digits in about a minute; it keeps running when you close this "
    "page."
)


def main() -> None:
    """Draw the page."""
    corner = open_head("Train", STORY)
    LINK.warn()
    controls, progress = areas([1.15, 3.2])
    with controls:
        new_run()
        st.page_link(
            page_script("models"),
            label="Bring a model",
            icon=":material/upload_file:",
            query_params={"view": "bring"},
        )
    with corner:
        LINK.button()
    with progress:
        follow(lambda: jobs.summaries(RunDirectory), _draw)


def _draw(runs: Sequence[RunSummary]) -> None:
    """Draw the chosen run and the list of all runs."""
    LINK.keep_up()
    shown = shown_run(runs)
    if shown is None:
        st.info(EMPTY, icon=":material/fitness_center:")
        return
    detail, others = st.columns([2.2, 1], gap="large")
    with others:
        st.subheader("Runs", anchor=False)
        pick_run(runs, shown)
    with detail:
        show_run(shown)


main()
