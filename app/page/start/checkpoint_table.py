"""All checkpoints with what was measured on them, and how."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.ui.model_picker import in_order
from app.ui.words import lowest_words, result_words, use_words
from robust_core.checkpoints.card import (
    clean_interval_of,
    clean_of,
    findings_of,
    lowest_of,
    reported_result,
)
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.finding import verdict
from robust_core.evaluation_runs.subjects import masks_gradients

MASKED = "⚠ masked"


def checkpoint_table(infos: Sequence[CheckpointInfo]) -> None:
    """Draw a row for each checkpoint: as reported, the lowest measured, and the checks of that.

    Every other measurement stands in an expander; every number says what it rests on.
    """
    networks = [info for info in in_order(infos) if not info.inference]
    st.table([_summary(info) for info in networks], hide_index=True, border="horizontal")
    st.caption(
        "As reported: attacked the way the method's paper attacks, or by PGD with 50 steps and 5 "
        "restarts. Lowest measured: what is left, image by image, of everything that was tried "
        "for the same inference mode, checks included. Checks are those of this very number. A "
        "stronger attack can only lower it. In brackets the 95 % interval (Wilson)."
    )
    if any(masks_gradients(info) for info in networks):
        st.caption(
            f"{MASKED}: hides its gradient on purpose, as a lesson. Plain PGD reports a splendid "
            "number; attacks that need no gradient settle it."
        )
    with st.expander("Every measurement"):
        rows = [row for info in networks for row in _rows(info)]
        st.table(rows, hide_index=True, border="horizontal")


def _summary(info: CheckpointInfo) -> dict[str, Any]:
    card = info.card
    reported = reported_result(card)
    lowest = lowest_of(card, reported)
    return {
        "Model": _model(info, reported["inference"]),
        "Data": info.config.data.name,
        "Method": info.config.method.name,
        "Clean accuracy": _clean(card, reported),
        "As reported": _share(reported["accuracy"], reported["interval"]),
        "by": f"{result_words(reported)}, {reported['num_images']:,} {card['split']} images",
        "Lowest measured": _share(lowest.accuracy, lowest.interval),
        "found by": lowest_words(lowest),
        "Checks": lowest.verdict,
    }


def _rows(info: CheckpointInfo) -> list[dict[str, Any]]:
    card = info.card
    return [
        {
            "Model": _model(info, result["inference"]),
            "Data": info.config.data.name,
            "Method": info.config.method.name,
            "Clean accuracy": _clean(card, result),
            "Robust accuracy": _share(result["accuracy"], result["interval"]),
            "Attack": result_words(result),
            "Images": f"{result['num_images']:,} {card['split']}",
            "Checks": verdict(findings_of(result)),
        }
        for result in card["robust"]
    ]


def _model(info: CheckpointInfo, inference: str) -> str:
    if inference:
        return f"{info.name}, {use_words(inference)}"
    return f"{info.name} {MASKED}" if masks_gradients(info) else info.name


def _clean(card: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Return the clean accuracy of what the result judged: the network or another use of it."""
    return _share(clean_of(card, result)[0], clean_interval_of(card, result))


def _share(share: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * share:.1f} % ({100 * low:.0f}–{100 * high:.0f})"
