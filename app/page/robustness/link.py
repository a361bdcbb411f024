"""The state of the robustness page in its address: shown evaluation and model."""

import streamlit as st

from app.ui import cached
from app.ui.page_link import PageLink, only, part
from robust_core import job_control
from robust_core.registry import unknown_name

SHOWN_KEY = "robustness.evaluation"
DATA_KEY = "robustness.data"


def models_key(data: str) -> str:
    """Return the key of the choice of models that were trained on `data`."""
    return f"robustness.models.{data}"


def select_evaluation(run_id: str | None) -> None:
    """Show an evaluation, here and in the address; None shows whichever is newest."""
    st.session_state[SHOWN_KEY] = run_id
    LINK.put("evaluation", run_id)


def _take_evaluation(run_id: str) -> None:
    job_control.evaluation_directory(run_id)  # raises where there is none
    st.session_state[SHOWN_KEY] = run_id


def _take_model(name: str) -> None:
    infos = {info.name: info for info in cached.checkpoints()}
    if name not in infos:
        raise unknown_name("model", name, list(infos))
    data = infos[name].config.data.name
    st.session_state[DATA_KEY] = data
    st.session_state[models_key(data)] = [name]


LINK = PageLink(
    "robustness",
    [
        only(["evaluation", "model"]),
        part("evaluation", _take_evaluation),
        part("model", _take_model),
    ],
)
