"""The state of the page Train in its address: preset and selected run."""

import streamlit as st

from app.ui.page_link import PageLink
from app.ui.state import Choice, Part
from robust_core import jobs
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.config.presets import NO_OPTION, list_options
from robust_core.data import data_source, list_data, own_data
from robust_core.methods import list_methods
from robust_core.training.directory import RunDirectory

RUN_KEY = "train.run"
BUDGET_WORDS = {"quick": "Quick", "paper": "As published"}


def select_run(run_id: str | None) -> None:
    """Select a run, also in the address; None selects the newest one."""
    st.session_state[RUN_KEY] = run_id
    LINK.put("run", run_id)


def data_names() -> list[str]:
    """Return the names of all data sets that can be trained on, imported ones last."""
    return [name for name in list_data() if "train" in data_source(name).splits] + own_data()


def options_of_all() -> list[str]:
    """Return the options of all presets, "none" first."""
    others = {option for method in list_methods() for option in list_options(method)}
    return [NO_OPTION, *sorted(others - {NO_OPTION})]


def _take_run(run_id: str) -> None:
    jobs.find(RunDirectory, run_id)  # raises where there is none
    st.session_state[RUN_KEY] = run_id


def _take_data_of(model: str) -> None:
    """Choose the data set of a model, if it can be trained on."""
    data = checkpoint_info(model).config.data.name
    DATA.put(DATA.read(data))


DATA = Choice("data", "train.data", data_names, start="digits", kind="data set")
METHOD = Choice("method", "train.method", list_methods, start="pgd_at")
OPTION = Choice("option", "train.option", options_of_all, start=NO_OPTION)
BUDGET = Choice("budget", "train.budget", BUDGET_WORDS)
LINK = PageLink(
    "train",
    [DATA, METHOD, OPTION, BUDGET, Part("run", _take_run, lambda: st.session_state.get(RUN_KEY))],
    carry=_take_data_of,
)
