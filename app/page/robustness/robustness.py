"""The robustness page: models under many attacks, with reliability checks of each accuracy."""

from collections.abc import Sequence

import streamlit as st

from app.page.robustness.form import new_evaluation
from app.page.robustness.link import LINK
from app.page.robustness.list import pick_evaluation, shown_evaluation
from app.page.robustness.progress import EVALUATION, show_progress
from app.page.robustness.results import read_results, show_results
from app.page.robustness.stored import show_stored
from app.ui import models
from app.ui.job_controls import show_log
from app.ui.job_watch import follow
from app.ui.model_picker import in_order
from app.ui.page import areas, input_errors, open_head
from robust_core import jobs
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationSummary

STORY = (
    "A model is only as robust as the strongest attack it withstands: choose models and attacks, "
    "and see which accuracies are reliable."
)
EMPTY = (
    "No evaluation yet. Press **Start evaluation** on the left: it runs the chosen attacks, and "
    "continues when you close this page."
)
INCOMPLETE = (
    "Some results cannot be read: files of this evaluation are missing or damaged, or were written "
    "by an older version of this laboratory. Start the same evaluation again."
)


def main() -> None:
    """Draw the page."""
    corner = open_head("Robustness", STORY)
    LINK.warn()
    controls, stage = areas([1.3, 3.4])
    with controls:
        infos = in_order(models.checkpoints())
        if infos:
            new_evaluation(infos)
        else:
            st.info(
                "There is no checkpoint yet: train a model on the Train page, then evaluate it."
            )
    with corner:
        LINK.button()
    with stage:
        follow(lambda: jobs.summaries(EvaluationDirectory), _draw)


def _draw(summaries: Sequence[EvaluationSummary]) -> None:
    """Draw the chosen evaluation and the list of all."""
    LINK.keep_up()
    shown = shown_evaluation(summaries)
    if shown is None:
        st.info(EMPTY, icon=":material/verified_user:")
        show_stored(models.checkpoints())
        return
    pick_evaluation(summaries, shown)
    _show(shown)


def _show(summary: EvaluationSummary) -> None:
    with input_errors():  # damaged, or deleted in another tab
        run = jobs.find(EvaluationDirectory, summary.run_id)
        show_progress(summary, run)
        results = read_results(run)
        if summary.status.state == "finished" and not results.complete:
            st.warning(INCOMPLETE, icon=":material/warning:")
        show_results(results, summary.run_id, active=summary.status.active)
        show_log(EVALUATION, run)


main()
