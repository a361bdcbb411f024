"""The table of checkpoints: their accuracies, and how these were measured."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.ui.model_picker import in_order
from app.ui.model_table import FEW, ROW_HEIGHT, accuracy_cells, accuracy_table, table_height
from app.ui.state import Text
from app.ui.units import percent_with_interval
from app.ui.words import mode_words, result_words
from robust_core.checkpoints.card import Card, RobustResult
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.checkpoints.info import STATED
from robust_core.evaluation.finding import outcome_of_checks

MASKED = "⚠ masked"
MARK = "⇥ imported"


def checkpoint_table(infos: Sequence[CheckpointInfo], key: str) -> None:
    """Draw a row for each checkpoint: accuracy as reported, lowest measured, reliability checks.

    All other measurements are in an expander. Each number names its attack and images.

    Args:
        infos: checkpoints, with their inference modes.
        key: of the table and of what is sought in it.
    """
    networks = [info for info in in_order(infos) if not info.inference]
    if len(networks) > FEW:
        sought = Text(f"{key}_find", f"{key}.find").field(
            "Find", placeholder="name, data set, method or attack", width=360
        )
        words = sought.casefold().split()
        networks = [info for info in networks if all(word in _searched(info) for word in words)]
    if not networks:
        st.info("No model matches these words.", icon=":material/filter_alt_off:")
        return
    accuracy_table([_summary(info) for info in networks], key, "Models with their accuracies")
    st.caption(
        "As reported: robust accuracy under the attack of the method's paper, or under PGD with "
        "50 steps and 5 restarts. Lowest measured: share of images that are correct under every "
        "attack and check of the same inference mode. Gap: the difference, in percentage points. "
        "Checks: reliability checks of the lowest number. A stronger attack can only lower it. "
        "A click on a column sorts."
    )
    if any(info.imported for info in networks):
        st.caption(f"{MARK}: {STATED}.")
    if any(info.masks_gradients for info in networks):
        st.caption(
            f"{MASKED}: this model masks its gradient on purpose, as a lesson. Plain PGD leaves a "
            "high accuracy; attacks that need no gradient show the real one."
        )
    with st.expander("Every measurement"):
        rows = [row for info in networks for row in _rows(info)]
        st.dataframe(
            rows,
            hide_index=True,
            height=table_height(len(rows)),
            row_height=ROW_HEIGHT,
            key=f"{key}.every",
            alt=f"{len(rows)} measurements, each with its attack, images and checks",
            column_config={
                "Model": st.column_config.Column(pinned=True, width=190),
                "Attack": st.column_config.Column(width=220),
                "Checks": st.column_config.Column(width=170),
            },
        )


def _searched(info: CheckpointInfo) -> str:
    config, cells = info.config, _summary(info)
    attacks = f"{cells['Reported attack']} {cells['Strongest attack']}"
    return f"{info.name} {config.data.name} {config.method.name} {attacks}".casefold()


def _summary(info: CheckpointInfo) -> dict[str, Any]:
    card = info.measured
    if card is None:
        clean = info.arrival and info.arrival.accuracy
        return {"Model": _model(info, ""), **accuracy_cells(clean, None, None)}
    reported = card.reported
    return {
        "Model": _model(info, reported.attack.inference),
        **accuracy_cells(card.clean_of(reported)[0], card, reported),
    }


def _rows(info: CheckpointInfo) -> list[dict[str, Any]]:
    card = info.measured
    if card is None:
        return []
    return [
        {
            "Model": _model(info, result.attack.inference),
            "Method": info.config.method.name,
            "Clean accuracy": _clean(card, result),
            "Robust accuracy": percent_with_interval(result.accuracy, result.interval),
            "Attack": result_words(result),
            "Images": f"{result.num_images:,} {card.split}",
            "Checks": outcome_of_checks(result.findings),
        }
        for result in card.robust
    ]


def _model(info: CheckpointInfo, inference: str) -> str:
    mark = f" {MARK}" if info.imported else ""
    if inference:
        return f"{info.name}{mark}, {mode_words(inference)}"
    return f"{info.name}{mark} {MASKED}" if info.masks_gradients else f"{info.name}{mark}"


def _clean(card: Card, result: RobustResult) -> str:
    """Return the clean accuracy in the inference mode of the result."""
    return percent_with_interval(card.clean_of(result)[0], card.clean_interval_of(result))
