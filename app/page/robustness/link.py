"""The state of the robustness page in its address: shown evaluation and model."""

import streamlit as st

from app.page.robustness.attack_choices import Randomness
from app.page.robustness.planning import Extent, Filled
from app.ui import models
from app.ui.forms import fill_form
from app.ui.page_link import PageLink
from app.ui.state import Choice, Part
from robust_core import jobs
from robust_core.evaluation_runs import EvaluationDirectory
from robust_core.registry import unknown_name
from robust_core.threat_model import ThreatModelParameters

SHOWN_KEY = "robustness.evaluation"
ATTACKS_KEY, KEPT_KEY = "robustness.attacks", "robustness.kept_attacks"
EXTENT_KEY, RANDOMNESS_KEY = "robustness.extent", "robustness.randomness"
ITSELF = ""  # no surrogate


def models_key(data: str) -> str:
    """Return the key of the choice of models that were trained on `data`."""
    return f"robustness.models.{data}"


def surrogate_key(data: str) -> str:
    """Return the key of the choice of a surrogate among the models of `data`."""
    return f"robustness.surrogate.{data}"


def threat_model_key(data: str) -> str:
    """Return the prefix of the widgets of the threat model for `data`."""
    return f"robustness.threat_model.{data}"


def show_in_form(shown: Filled) -> None:
    """Bring the form into a state; in a callback, before its widgets are drawn."""
    data = shown.data
    DATA.put(data)
    st.session_state[models_key(data)] = list(shown.models)
    st.session_state[surrogate_key(data)] = shown.surrogate or ITSELF
    st.session_state[KEPT_KEY] = dict(shown.kept)
    st.session_state[ATTACKS_KEY] = list(shown.titles)
    fill_form(Extent, EXTENT_KEY, shown.extent.model_dump())
    if shown.randomness is not None:
        fill_form(Randomness, RANDOMNESS_KEY, shown.randomness.model_dump())
    if shown.threat_model is not None:
        values = {"norm": shown.threat_model.norm, "epsilon": shown.threat_model.epsilon}
        fill_form(ThreatModelParameters, threat_model_key(data), values)


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
LINK = PageLink(
    "robustness",
    [
        Part("evaluation", _take_evaluation, lambda: st.session_state.get(SHOWN_KEY)),
        Part("model", _take_model),
    ],
    carry=_take_model,
)
