"""All checkpoints with what was measured on them, and how."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.model_picker import in_order
from app.words import masks_gradients, result_words, use_words
from robust_core.evaluation.accuracy import wilson_interval
from robust_core.training.checkpoint import CheckpointInfo

MASKED = "⚠ masked"


def checkpoint_table(infos: Sequence[CheckpointInfo]) -> None:
    """Draw one row for each checkpoint and attack; every number says what it rests on."""
    rows = [row for info in in_order(infos) if not info.inference for row in _rows(info)]
    st.table(rows, hide_index=True, border="horizontal")
    st.caption(
        "Robust: right on the clean image and under the attack, at the stated budget. In brackets "
        "the 95 % interval (Wilson). A stronger attack can only lower these numbers."
    )
    if any(masks_gradients(info) for info in infos):
        st.caption(
            f"{MASKED}: hides its gradient on purpose, as a lesson. Plain PGD reports a splendid "
            "number; the attacks in the lines below it, which need no gradient, settle it."
        )


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
        }
        for result in card["robust"]
    ]


def _model(info: CheckpointInfo, inference: str) -> str:
    if inference:
        return f"{info.name}, {use_words(inference)}"
    return f"{info.name} {MASKED}" if masks_gradients(info) else info.name


def _clean(card: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Return the clean accuracy of what the result judged: the network or another use of it."""
    share, number = result["clean_accuracy"], result["num_images"]
    if share is None or not result["inference"]:
        return _share(card["clean_accuracy"], card["clean_interval"])
    return _share(share, wilson_interval(round(share * number), number))


def _share(share: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * share:.1f} % ({100 * low:.0f}–{100 * high:.0f})"
