"""The table of all models: filtered, sorted by a click on a column, one of them shown below."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.page.models.link import ALL, DATA, FIND, KIND, SHOWN, show_model
from app.page.models.shown import show_details
from app.ui import models
from app.ui.model_picker import in_order
from app.ui.model_table import accuracy_cells, accuracy_table
from app.ui.units import count_words
from app.ui.words import mode_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.checkpoints.info import STATED
from robust_core.config.imported import ImportConfig

KEY = "models.table"
NONE = "No model matches these filters: remove one of them."


def show_table() -> None:
    """Draw the filters, the table and the details of one model."""
    infos = in_order(models.checkpoints())
    if not infos:
        st.info("No model yet: train one on the page Train, or bring one.")
        return
    found = _filtered(infos)
    if not found:
        st.info(NONE, icon=":material/filter_alt_off:")
        return
    rows = [_cells(info) for info in found]
    accuracy_table(
        rows,
        KEY,
        "Models with their accuracies",
        on_select=lambda: _choose(found),
        selection_mode="single-row",
    )
    st.caption(
        f"{count_words(len(found), 'row')} of {len(infos)}, one for each inference mode. A "
        "click on a column sorts, a click on a row shows the model below. Numbers of imported "
        f"checkpoints of this laboratory are {STATED}."
    )
    names = [info.name for info in found]
    if SHOWN.value not in names:
        SHOWN.put(names[0])
    name = SHOWN.select("Show", among=names)
    show_details(next(info for info in found if info.name == name))


def _filtered(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    first, second, third = st.columns([1, 2, 1.2], vertical_alignment="bottom")
    with first:
        data = DATA.select("Data set", format_func=lambda name: "All" if name == ALL else name)
    with second:
        kind = KIND.segmented("Kind")
    with third:
        text = FIND.field("Find", placeholder="name, method, network, origin")
    return [
        info
        for info in infos
        if data in (ALL, info.config.data.name)
        and kind in (ALL, info.kind)
        and all(word in _searched(info) for word in text.casefold().split())
    ]


def _searched(info: CheckpointInfo) -> str:
    config = info.config
    words = (info.name, config.data.name, config.method.name, config.model.name, _origin(info))
    return " ".join(words).casefold()


def _choose(found: Sequence[CheckpointInfo]) -> None:
    rows = st.session_state[KEY].selection.rows
    if rows and rows[0] < len(found):
        show_model(found[rows[0]].name)


def _cells(info: CheckpointInfo) -> dict[str, Any]:
    clean = info.clean_result
    return {
        "Model": info.name,
        **accuracy_cells(clean and clean[0] / clean[1], info.measured, info.reported),
    }


def _origin(info: CheckpointInfo) -> str:
    config = info.config
    mode = f"inference mode {mode_words(info.inference)}; " if info.inference else ""
    if isinstance(config, ImportConfig):
        return f"{mode}{config.origin.file or config.origin.format}; {config.words}"
    title = config.title if info.kind != "shipped" else ""
    return f"{mode}{title}".removesuffix("; ")
