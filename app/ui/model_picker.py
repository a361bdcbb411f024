"""Choosing a checkpoint, with its measured numbers."""

from collections.abc import Sequence

import streamlit as st

from app.ui.words import card_help, card_words, checkpoint_title, defended
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation_runs.subjects import masks_gradients

MODEL_KEY = "attack.model"


def pick_model(infos: Sequence[CheckpointInfo]) -> CheckpointInfo:
    """Draw the picker, with the measured numbers, and return the chosen checkpoint.

    Args:
        infos: at least one, in the order of the list; the first is chosen at first.
    """
    by_name = {info.name: info for info in infos}
    if st.session_state.get(MODEL_KEY) not in by_name:
        st.session_state[MODEL_KEY] = next(iter(by_name))
    name = st.selectbox(
        "Model",
        list(by_name),
        format_func=lambda name: checkpoint_title(by_name[name]),
        key=MODEL_KEY,
        persist_state="session",
        help="Grouped by data set: shipped models, your own runs and imported files.",
    )
    st.caption(card_words(by_name[name]), help=card_help(by_name[name]))
    return by_name[name]


def in_order(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Return checkpoints of one data set together: shipped first, undefended first, masked last.

    Plain adversarial training leads the defended ones: it is what the others are measured by.
    """

    def place(info: CheckpointInfo) -> tuple:
        measure = info.name.endswith("-pgd_at")
        data, own = info.config.data.name, "/" in info.name
        return data, own, masks_gradients(info), defended(info), not measure

    return sorted(infos, key=place)
