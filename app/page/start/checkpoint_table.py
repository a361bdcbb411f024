"""The table of checkpoints: their accuracies, and how these were measured."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.ui.model_picker import in_order
from app.ui.plain import in_markdown
from app.ui.units import percent_with_interval
from app.ui.words import lowest_words, mode_words, result_words
from robust_core.checkpoints.card import Card, RobustResult
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.checkpoints.info import STATED
from robust_core.evaluation.finding import outcome_of_checks

MASKED = "⚠ masked"
MARK = "⇥ imported"


def checkpoint_table(infos: Sequence[CheckpointInfo]) -> None:
    """Draw a row for each checkpoint: accuracy as reported, lowest measured, reliability checks.

    All other measurements are in an expander. Each number names its attack and images.
    """
    networks = [info for info in in_order(infos) if not info.inference]
    st.table([_summary(info) for info in networks], hide_index=True, border="horizontal")
    st.caption(
        "As reported: robust accuracy under the attack of the method's paper, or under PGD with "
        "50 steps and 5 restarts. Lowest measured: share of images that are correct under every "
        "attack and check of the same inference mode. Checks: reliability checks of the lowest "
        "number. A stronger attack can only lower it. In brackets: 95\u00a0% interval (Wilson)."
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
        st.table(rows, hide_index=True, border="horizontal")


def _summary(info: CheckpointInfo) -> dict[str, Any]:
    card = info.measured
    if card is None:
        return _unmeasured(info)
    reported, lowest = card.reported, card.lowest()
    return {
        "Model": _model(info, reported.attack.inference),
        "Data": in_markdown(info.config.data.name),
        "Method": info.config.method.name,
        "Clean accuracy": _clean(card, reported),
        "As reported": percent_with_interval(reported.accuracy, reported.interval),
        "Reported attack": in_markdown(
            f"{result_words(reported)}, {reported.num_images:,} {card.split} images"
        ),
        "Lowest measured": percent_with_interval(lowest.accuracy, lowest.interval),
        "Strongest attack": in_markdown(lowest_words(lowest)),
        "Checks": in_markdown(lowest.checks),
    }


def _unmeasured(info: CheckpointInfo) -> dict[str, Any]:
    """Return the row of a model from elsewhere that nothing has attacked yet."""
    clean = info.arrival and percent_with_interval(info.arrival.accuracy, info.arrival.interval)
    return {
        "Model": _model(info, ""),
        "Data": info.config.data.name,
        "Method": info.config.method.name,
        "Clean accuracy": clean or "",
        "As reported": "not measured yet",
        "Reported attack": "",
        "Lowest measured": "not measured yet",
        "Strongest attack": "",
        "Checks": "",
    }


def _rows(info: CheckpointInfo) -> list[dict[str, Any]]:
    card = info.measured
    if card is None:
        return []
    return [
        {
            "Model": _model(info, result.attack.inference),
            "Data": in_markdown(info.config.data.name),
            "Method": info.config.method.name,
            "Clean accuracy": _clean(card, result),
            "Robust accuracy": percent_with_interval(result.accuracy, result.interval),
            "Attack": in_markdown(result_words(result)),
            "Images": in_markdown(f"{result.num_images:,} {card.split}"),
            "Checks": in_markdown(outcome_of_checks(result.findings)),
        }
        for result in card.robust
    ]


def _model(info: CheckpointInfo, inference: str) -> str:
    mark = f" {MARK}" if info.imported else ""
    if inference:
        return in_markdown(f"{info.name}{mark}, {mode_words(inference)}")
    return in_markdown(
        f"{info.name}{mark} {MASKED}" if info.masks_gradients else f"{info.name}{mark}"
    )


def _clean(card: Card, result: RobustResult) -> str:
    """Return the clean accuracy in the inference mode of the result."""
    return percent_with_interval(card.clean_of(result)[0], card.clean_interval_of(result))
