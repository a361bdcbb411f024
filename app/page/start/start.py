"""The first page: what this is, three things to try, and what is there already."""

import streamlit as st

from app.page.start.checkpoint_table import checkpoint_table
from app.page.start.first_steps import ROBUST, STANDARD, TRAIN, first_steps
from app.page.start.glimpse import Glimpse, find_glimpse, show_glimpse
from app.ui import cached
from app.ui.forms import show_input_error
from app.ui.run_list import run_title, state_badge
from robust_core import job_control
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

NEWEST_RUNS = 5
STORY = (
    "A classifier can read handwriting almost perfectly and still be fooled by a change that "
    "nobody would notice. Many defences against this have been claimed, and many fell to the next, "
    "better attack. Here you can see a claim, check what it rests on, and run the attack that "
    "settles it."
)


def main() -> None:
    """Draw the page."""
    infos = {info.name: info for info in cached.checkpoints()}
    words, pictures = st.columns([1, 1.3], gap="large", vertical_alignment="center")
    words.title("Is this classifier really robust?", anchor=False)
    words.markdown(STORY)
    glimpse = None
    with pictures:
        if STANDARD in infos and ROBUST in infos:
            glimpse = _glimpse(infos[STANDARD], infos[ROBUST])
    st.subheader("Three things to try", anchor=False)
    first_steps(infos, glimpse)
    st.subheader("Trained models", anchor=False)
    _checkpoints(list(infos.values()))
    st.subheader("Runs", anchor=False)
    _runs()


def _glimpse(standard: CheckpointInfo, robust: CheckpointInfo) -> Glimpse | None:
    try:
        glimpse = find_glimpse(standard, robust)
    except InputError as error:
        show_input_error(error)
        return None
    show_glimpse(glimpse, standard.class_names)
    return glimpse


def _checkpoints(infos: list[CheckpointInfo]) -> None:
    """Show the shipped models, and a person's own ones behind an expander."""
    shipped = [info for info in infos if "/" not in info.name]
    own = [info for info in infos if "/" in info.name]
    if shipped:
        checkpoint_table(shipped)
    if own:
        with st.expander(f"Your own models ({len(own)})", expanded=not shipped):
            checkpoint_table(own)
    if not infos:
        st.info("There is none yet: the third thing to try makes one.", icon=":material/info:")


def _runs() -> None:
    """Show where the newest runs stand, each with a link to its curves."""
    runs = job_control.list_runs()
    if not runs:
        st.caption("None yet. Runs that you start on the page Train appear here.")
        return
    for run in runs[:NEWEST_RUNS]:
        with st.container(horizontal=True, vertical_alignment="center"):
            state_badge(run.status)
            st.page_link(TRAIN, label=run_title(run), query_params={"run": run.run_id})
            words = f"epoch {run.status.epoch} of {run.status.num_epochs} · {run.run_id}"
            st.caption(words, width="content")
    if len(runs) > NEWEST_RUNS:
        st.caption(f"and {len(runs) - NEWEST_RUNS} older ones on the page Train.")


main()
