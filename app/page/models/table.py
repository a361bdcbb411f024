"""The table of all models: filtered, sorted by a click on a column, one of them shown below."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.page.models.link import ALL, DATA, FIND, KIND, KINDS, SHOWN, show_model
from app.page.models.shown import show_details
from app.ui import models
from app.ui.model_picker import in_order
from app.ui.units import count_words
from app.ui.words import lowest_words, mode_words, result_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.checkpoints.info import STATED
from robust_core.config.imported import ImportConfig
from robust_core.evaluation.finding import outcome_of_checks

KEY = "models.table"
NOT_MEASURED = "not measured yet"
NONE = "No model matches these filters: remove one of them."
TALLEST = 480  # pixels of the table; more rows are scrolled
HELP = {
    "Clean": "Accuracy without an attack, in per cent.",
    "As reported": "Robust accuracy in per cent under the attack of the method's paper, or under "
    "PGD with 50 steps and 5 restarts.",
    "Lowest measured": "Share of images, in per cent, that are correct under every attack and "
    "check of the same inference mode. A stronger attack can only lower it.",
    "Gap": "Percentage points by which the lowest measured accuracy is below the reported one.",
    "Checks": "Reliability checks of the lowest number.",
}


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
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="–",
        height=TALLEST if len(found) > TALLEST // 36 else "content",
        key=KEY,
        on_select=lambda: _choose(found),
        selection_mode="single-row",
        alt="Models with their accuracies, one row each: " + "; ".join(map(_alt, rows)),
        column_config=_columns(),
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
    config, clean = info.config, info.clean_result
    return {
        "Model": info.name,
        "Clean": None if clean is None else 100 * clean[0] / clean[1],
        **_robust_cells(info),
        "Data": config.data.name,
        "Kind": KINDS[info.kind],
        "Method": config.method.name,
        "Network": config.model.name,
        "Origin": _origin(info),
    }


def _robust_cells(info: CheckpointInfo) -> dict[str, Any]:
    """Return what was measured under attack, accuracies in percent; None: nothing was."""
    card, reported = info.measured, info.reported
    if card is None or reported is None:
        unknown = dict.fromkeys(("As reported", "Lowest measured", "Gap"))
        return {**unknown, "Checks": NOT_MEASURED, "Reported attack": "", "Strongest attack": ""}
    lowest = card.lowest(reported)
    return {
        "As reported": 100 * reported.accuracy,
        "Lowest measured": 100 * lowest.accuracy,
        "Gap": 100 * (reported.accuracy - lowest.accuracy),
        "Checks": outcome_of_checks(lowest.findings),
        "Reported attack": f"{result_words(reported)}, {reported.num_images:,} {card.split} images",
        "Strongest attack": lowest_words(lowest),
    }


def _origin(info: CheckpointInfo) -> str:
    config = info.config
    mode = f"inference mode {mode_words(info.inference)}; " if info.inference else ""
    if isinstance(config, ImportConfig):
        return f"{mode}{config.origin.file or config.origin.format}; {config.words}"
    title = config.title if info.kind != "shipped" else ""
    return f"{mode}{title}".removesuffix("; ")


def _alt(cells: dict[str, Any]) -> str:
    reported, lowest = cells["As reported"], cells["Lowest measured"]
    if reported is None:
        return f"{cells['Model']}: {NOT_MEASURED}"
    return (
        f"{cells['Model']}: {reported:.0f}\u00a0% as reported, {lowest:.0f}\u00a0% lowest measured"
    )


def _columns() -> dict[str, Any]:
    columns = {
        name: st.column_config.NumberColumn(format="%.1f", help=HELP[name])
        for name in ("Clean", "As reported", "Lowest measured")
    }
    gap = st.column_config.ProgressColumn(
        format="%.1f", min_value=0, max_value=100, help=HELP["Gap"], width=130
    )
    checks = st.column_config.Column(help=HELP["Checks"])
    pinned = st.column_config.Column(pinned=True)
    return {**columns, "Gap": gap, "Checks": checks, "Model": pinned}
