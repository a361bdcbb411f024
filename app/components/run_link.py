"""The state of the training page in its address: chosen preset and shown run, checked when read."""

from collections.abc import Callable
from typing import get_args

import streamlit as st

from robust_core import jobs
from robust_core.data import list_data, own_data
from robust_core.errors import InputError
from robust_core.methods import list_methods
from robust_core.registry import unknown_name
from robust_core.training.presets import Budget

DATA_KEY, METHOD_KEY, BUDGET_KEY = "train.data", "train.method", "train.budget"
RUN_KEY = "train.run"
BUDGETS: tuple[str, ...] = get_args(Budget)
KEYS = {"data": DATA_KEY, "method": METHOD_KEY, "budget": BUDGET_KEY, "run": RUN_KEY}
LONGEST_VALUE = 200
_APPLIED, _PROBLEMS = "train.link", "train.link_problems"


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


def write_link(name: str, value: str | None) -> None:
    """Put one part of the state into the address; None takes it out."""
    if value is None:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = value
    st.session_state[_APPLIED] = st.query_params.to_dict()
    st.session_state[_PROBLEMS] = []


def select_run(run_id: str | None) -> None:
    """Show a run, here and in the address; None shows whichever is newest."""
    st.session_state[RUN_KEY] = run_id
    write_link("run", run_id)


def data_names() -> list[str]:
    """Return the names of all data sets: a person's own after those of the laboratory."""
    return list_data() + own_data()


def _apply(name: str, value: str) -> str | None:
    try:
        if name not in KEYS:
            raise unknown_name("part of the address", name[:LONGEST_VALUE], list(KEYS))
        _CHECKS[name](value[:LONGEST_VALUE])
    except InputError as error:
        return f"The link cannot be followed in full: {error}."
    st.session_state[KEYS[name]] = value
    return None


def _one_of(kind: str, known: Callable[[], list[str]]) -> Callable[[str], None]:
    def check(value: str) -> None:
        names = known()
        if value not in names:
            raise unknown_name(kind, value, names)

    return check


def _check_run(value: str) -> None:
    jobs.run_directory(value)


_CHECKS: dict[str, Callable[[str], None]] = {
    "data": _one_of("data set", data_names),
    "method": _one_of("method", list_methods),
    "budget": _one_of("budget", lambda: list(BUDGETS)),
    "run": _check_run,
}
