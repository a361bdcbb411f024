"""All checkpoints with what was measured on them, and how."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.model_picker import in_order
from app.words import result_words, use_words
from robust_core.evaluation.lowest import wilson_interval
from robust_core.evaluation_runs.subjects import masks_gradients
from robust_core.training.cards import claimed_result, settled_result, verdict
from robust_core.training.checkpoint import CheckpointInfo

MASKED = "⚠ masked"


def checkpoint_table(infos: Sequence[CheckpointInfo]) -> None:
    """Draw a row for each checkpoint: the claim, the checks, the attack that settles it.

    Every other measurement stands in an expander; every number says what it rests on.
    """
    networks = [info for info in in_order(infos) if not info.inference]
    st.table([_summary(info) for info in networks], hide_index=True, border="horizontal")
    st.caption(
        "Claimed: attacked the way the method's paper attacks, or by PGD with 50 steps and 5 "
        "restarts. Checks: those for masked gradients, of the network itself. Settled: the lowest "
        "that any attack found for the same use of the network, perhaps on fewer images. A "
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
    claimed, settled = claimed_result(card), settled_result(card)
    return {
        "Model": _model(info, claimed["inference"]),
        "Data": info.config.data.name,
        "Method": info.config.method.name,
        "Clean accuracy": _clean(card, claimed),
        "Claimed": _share(claimed["accuracy"], claimed["interval"]),
        "claimed by": _attack(card, claimed),
        "Checks": verdict(card),
        "Settled": _share(settled["accuracy"], settled["interval"]),
        "settled by": "the same" if settled is claimed else _attack(card, settled),
    }


def _attack(card: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    return f"{result_words(result)}, {result['num_images']:,} {card['split']} images"


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
