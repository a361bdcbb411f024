"""The state of the robustness page in its address: shown evaluation, model; checked when read."""

import streamlit as st

from app import cached
from robust_core import jobs
from robust_core.errors import InputError
from robust_core.registry import unknown_name

SHOWN_KEY = "robustness.evaluation"
DATA_KEY = "robustness.data"
NAMES = ("evaluation", "model")
LONGEST_VALUE = 200
_APPLIED, _PROBLEMS = "robustness.link", "robustness.link_problems"


def models_key(data: str) -> str:
    """Return the key of the choice of models that were trained on `data`."""
    return f"robustness.models.{data}"


def apply_link() -> list[str]:
    """Bring the page into the state of the address, once for each new address.

    Returns:
        One sentence for each part of the address that cannot be used.
    """
    state = st.query_params.to_dict()
    if state and st.session_state.get(_APPLIED) != state:
        st.session_state[_APPLIED] = state
        st.session_state[_PROBLEMS] = [
            problem for name, value in state.items() if (problem := _apply(name, value))
        ]
    return st.session_state.get(_PROBLEMS, []) if state else []


def select_evaluation(run_id: str | None) -> None:
    """Show an evaluation, here and in the address; None shows whichever is newest."""
    st.session_state[SHOWN_KEY] = run_id
    if run_id is None:
        st.query_params.pop("evaluation", None)
    else:
        st.query_params["evaluation"] = run_id
    st.session_state[_APPLIED] = st.query_params.to_dict()
    st.session_state[_PROBLEMS] = []


def _apply(name: str, value: str) -> str | None:
    value = value[:LONGEST_VALUE]
    try:
        if name == "evaluation":
            jobs.evaluation_directory(value)
            st.session_state[SHOWN_KEY] = value
        elif name == "model":
            _choose_model(value)
        else:
            raise unknown_name("part of the address", name[:LONGEST_VALUE], list(NAMES))
    except InputError as error:
        return f"The link cannot be followed in full: {error}."
    return None


def _choose_model(name: str) -> None:
    infos = {info.name: info for info in cached.checkpoints()}
    if name not in infos:
        raise unknown_name("model", name, list(infos))
    data = infos[name].config.data.name
    st.session_state[DATA_KEY] = data
    st.session_state[models_key(data)] = [name]
