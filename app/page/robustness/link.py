"""The state of the robustness page in its address: shown evaluation and model."""

import streamlit as st

from app.ui import models
from app.ui.page_link import PageLink
from app.ui.state import Choice, Part
from robust_core import jobs
from robust_core.evaluation_runs import EvaluationDirectory
from robust_core.registry import unknown_name

SHOWN_KEY = "robustness.evaluation"


def models_key(data: str) -> str:
    """Return the key of the choice of models that were trained on `data`."""
    return f"robustness.models.{data}"


def select_evaluation(run_id: str | None) -> None:
    """Show an evaluation, here and in the address; None shows whichever is newest."""
    st.session_state[SHOWN_KEY] = run_id
    LINK.put("evaluation", run_id)


def _take_evaluation(run_id: str) -> None:
    jobs.find(EvaluationDirectory, run_id)  # raises where there is none
    st.session_state[SHOWN_KEY] = run_id


def _take_model(name: str) -> None:
    infos = {info.name: info for info in models.checkpoints()}
    if name not in infos:
        raise unknown_name("model", name, list(infos))
    data = infos[name].config.data.name
    DATA.put(data)
    st.session_state[models_key(data)] = [name]


def data_names() -> list[str]:
    """Return the names of the data sets that some checkpoint was trained on."""
    return list(dict.fromkeys(info.config.data.name for info in models.checkpoints()))


DATA = Choice("data", "robustness.data", data_names, start="digits")
LINK = PageLink("robustness", [Part("evaluation", _take_evaluation), Part("model", _take_model)])
