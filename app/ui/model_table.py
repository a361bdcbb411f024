"""Accuracies of models as a table: as reported, lowest measured, and the gap between the two."""

from typing import Any, Literal

import streamlit as st

from app.ui.words import lowest_words, result_words
from robust_core.checkpoints.card import Card, RobustResult
from robust_core.evaluation.finding import outcome_of_checks

NOT_MEASURED = "not measured yet"
FEW = 10  # rows; more of them are searched and scrolled
TALLEST, ROW_HEIGHT = 580, 84  # pixels of a table, and of a row of four lines
_HELP = {
    "Clean": "Accuracy without an attack.",
    "As reported": "Robust accuracy under the attack of the method's paper, or under PGD with 50 "
    "steps and 5 restarts.",
    "Lowest measured": "Share of images that are correct under every attack and check of the same "
    "inference mode. A stronger attack can only lower it.",
    "Gap": "Percentage points by which the lowest measured accuracy is below the reported one.",
    "Checks": "Reliability checks of the lowest number.",
    "95\u00a0% intervals": "Of the accuracy as reported, and of the lowest measured (Wilson), in "
    "per cent.",
}
_WIDTHS = {  # in pixels: with the marks of a selection they fit beside the menu at 1366 pixels
    "Model": 158,
    "Clean": 66,
    "As reported": 94,
    "Lowest measured": 120,
    "Gap": 90,
    "95\u00a0% intervals": 106,
    "Checks": 96,
    "Reported attack": 148,
    "Strongest attack": 148,
}


def accuracy_cells(
    clean: float | None, card: Card | None, reported: RobustResult | None
) -> dict[str, Any]:
    """Return a row's accuracies in per cent, its checks and its attacks; None: not measured.

    Args:
        clean: accuracy without an attack, in [0, 1].
        card: what was measured.
        reported: the result as reported.
    """
    cells: dict[str, Any] = {"Clean": None if clean is None else 100 * clean}
    if card is None or reported is None:
        unknown = dict.fromkeys(("As reported", "Lowest measured", "Gap", "95\u00a0% intervals"))
        return {
            **cells,
            **unknown,
            "Checks": NOT_MEASURED,
            "Reported attack": "",
            "Strongest attack": "",
        }
    lowest = card.lowest(reported)
    bounds = [tuple(100 * bound for bound in one.interval) for one in (reported, lowest)]
    return {
        **cells,
        "As reported": 100 * reported.accuracy,
        "Lowest measured": 100 * lowest.accuracy,
        "Gap": 100 * (reported.accuracy - lowest.accuracy),
        "95\u00a0% intervals": ", ".join(f"{low:.0f}–{high:.0f}" for low, high in bounds),
        "Checks": outcome_of_checks(lowest.findings),
        "Reported attack": f"{result_words(reported)}, {reported.num_images:,} {card.split} images",
        "Strongest attack": lowest_words(lowest),
    }


def table_height(num_rows: int) -> int | Literal["content"]:
    """Return the height of a table of rows of `ROW_HEIGHT`: of a long one that it scrolls at."""
    return TALLEST if num_rows > TALLEST // ROW_HEIGHT else "content"


def accuracy_table(rows: list[dict[str, Any]], key: str, alt: str, **more: Any) -> None:
    """Draw the rows: numbers to sort by, a bar for each gap, text on several lines.

    Args:
        rows: of `accuracy_cells`, each after its "Model".
        key: of the widget.
        alt: what the table is of, in words.
        more: as of `st.dataframe`.
    """
    share, other = st.column_config.NumberColumn, st.column_config.Column
    columns: dict[str, Any] = {}
    for name in rows[0]:
        told = {"help": _HELP.get(name), "width": _WIDTHS.get(name)}
        if name == "Gap":
            columns[name] = st.column_config.ProgressColumn(
                format="%.1f", min_value=0, max_value=100, **told
            )
        elif name in ("Clean", "As reported", "Lowest measured"):
            columns[name] = share(format="%.1f\u00a0%%", **told)
        else:
            columns[name] = other(pinned=name == "Model", **told)
    told = "; ".join(map(_alt, rows))
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="–",
        height=table_height(len(rows)),
        row_height=ROW_HEIGHT,
        key=key,
        alt=f"{alt}, one row each: {told}",
        column_config=columns,
        **more,
    )


def _alt(cells: dict[str, Any]) -> str:
    reported, lowest = cells["As reported"], cells["Lowest measured"]
    if reported is None:
        return f"{cells['Model']}: {NOT_MEASURED}"
    return (
        f"{cells['Model']}: {reported:.0f}\u00a0% as reported, {lowest:.0f}\u00a0% lowest measured"
    )
