"""All checkpoints with what was measured on them, and how."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.words import attack_words
from robust_core.training.checkpoint import CheckpointInfo


def checkpoint_table(infos: Sequence[CheckpointInfo]) -> None:
    """Draw one row for each checkpoint and attack; every number says what it rests on."""
    st.table([row for info in infos for row in _rows(info)], hide_index=True, border="horizontal")
    st.caption(
        "Robust: right on the clean image and under the attack, at the stated budget. In brackets "
        "the 95 % interval (Wilson). A stronger attack can only lower these numbers."
    )


def _rows(info: CheckpointInfo) -> list[dict[str, Any]]:
    card = info.card
    return [
        {
            "Model": info.name,
            "Data": info.config.data.name,
            "Method": info.config.method.name,
            "Clean accuracy": _share(card["clean_accuracy"], card["clean_interval"]),
            "Robust accuracy": _share(result["accuracy"], result["interval"]),
            "Attack": attack_words(result["attack"]["name"], result["attack"]["parameters"]),
            "Images": f"{result['num_images']:,} {card['split']}",
        }
        for result in card["robust"]
    ]


def _share(share: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * share:.1f} % ({100 * low:.0f}–{100 * high:.0f})"
