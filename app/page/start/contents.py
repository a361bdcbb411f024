"""What stands below the introduction of the start page: examples, trained models and runs."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.navigation import page_script
from app.page.start.checkpoint_table import checkpoint_table
from app.page.start.example import Example, find_example, show_example
from app.page.start.first_steps import ROBUST, STANDARD, TRAIN, first_steps
from app.page.start.photograph import find_photograph, show_photograph
from app.ui import models, visitor
from app.ui.forms import show_input_error
from app.ui.page_link import PageLink
from app.ui.plain import in_markdown
from app.ui.run_list import run_title, state_badge
from robust_core import jobs
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.training.directory import RunDirectory

NEWEST_RUNS = 5


def show_contents(words: DeltaGenerator, pictures: DeltaGenerator) -> None:
    """Draw everything but title and introduction.

    Args:
        words: the place of these two, for who can open the page.
        pictures: the place beside them, for an example.
    """
    PageLink("start", []).warn()
    with words:
        visitor.show_openness()
    infos = {info.name: info for info in models.checkpoints()}
    photograph = find_photograph(list(infos.values()))
    example = None
    with pictures:
        if photograph is None and STANDARD in infos and ROBUST in infos:
            example = _example(infos[STANDARD], infos[ROBUST])
    st.subheader("Three things to try", anchor=False)
    first_steps(infos, example, photograph)
    st.subheader("Trained models", anchor=False)
    _checkpoints(list(infos.values()))
    st.subheader("Runs", anchor=False)
    _runs()
    if photograph is not None:  # last: nothing on the page waits for it
        show_photograph(photograph, pictures)


def _example(standard: CheckpointInfo, robust: CheckpointInfo) -> Example | None:
    try:
        example = find_example(standard, robust)
    except InputError as error:
        show_input_error(error)
        return None
    show_example(example, standard.class_names)
    return example


def _checkpoints(infos: list[CheckpointInfo]) -> None:
    """Show the shipped models, and the user's own ones in an expander."""
    shipped = [info for info in infos if "/" not in info.name]
    own = [info for info in infos if "/" in info.name]
    if shipped:
        checkpoint_table(shipped, "start.shipped")
    if own:
        with st.expander(f"Your own models ({len(own)})", expanded=not shipped):
            checkpoint_table(own, "start.own")
    if infos:
        st.page_link(
            page_script("models"),
            label="All models, and bringing one",
            icon=":material/inventory_2:",
        )
    else:
        st.info("No model yet: train one with the third card above.", icon=":material/info:")


def _runs() -> None:
    """Show the newest runs and their progress, each with a link to its curves."""
    jobs.start_waiting()
    runs = jobs.summaries(RunDirectory)
    if not runs:
        st.caption("No run yet. Runs that you start on the Train page appear here.")
        return
    for run in runs[:NEWEST_RUNS]:
        with st.container(horizontal=True, vertical_alignment="center"):
            state_badge(run.status)
            st.page_link(TRAIN, label=in_markdown(run_title(run)), query_params={"run": run.run_id})
            words = f"epoch {run.status.epoch} of {run.status.num_epochs} · {run.run_id}"
            st.caption(words, width="content")
    if len(runs) > NEWEST_RUNS:
        st.caption(f"and {len(runs) - NEWEST_RUNS} older runs on the Train page.")
