"""The state of the training page in its address: chosen preset and shown run."""

from typing import get_args

import streamlit as st

from app.ui.page_link import PageLink, one_of, only, part
from robust_core import job_control
from robust_core.config.presets import NO_OPTION, Budget, list_options
from robust_core.data import list_data, own_data
from robust_core.methods import list_methods

DATA_KEY, METHOD_KEY, BUDGET_KEY = "train.data", "train.method", "train.budget"
OPTION_KEY, RUN_KEY = "train.option", "train.run"
BUDGETS: tuple[str, ...] = get_args(Budget)


def select_run(run_id: str | None) -> None:
    """Show a run, here and in the address; None shows whichever is newest."""
    st.session_state[RUN_KEY] = run_id
    LINK.put("run", run_id)


def data_names() -> list[str]:
    """Return the names of all data sets: a person's own after those of the laboratory."""
    return list_data() + own_data()


def options_of_all() -> list[str]:
    """Return every option that a preset of some method has, "none" first."""
    others = {option for method in list_methods() for option in list_options(method)}
    return [NO_OPTION, *sorted(others - {NO_OPTION})]


def _take_run(run_id: str) -> None:
    job_control.run_directory(run_id)  # raises where there is none
    st.session_state[RUN_KEY] = run_id


LINK = PageLink(
    "train",
    [
        only(["data", "method", "option", "budget", "run"]),
        part("data", one_of("data set", DATA_KEY, data_names)),
        part("method", one_of("method", METHOD_KEY, list_methods)),
        part("option", one_of("option", OPTION_KEY, options_of_all)),
        part("budget", one_of("budget", BUDGET_KEY, lambda: BUDGETS)),
        part("run", _take_run),
    ],
)
