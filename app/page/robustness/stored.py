"""Evaluations that ship with the laboratory: what the cards of some instructive models say."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.page.robustness.edit import show_edit
from app.page.robustness.headline import EXPLANATION, show_sentence
from app.page.robustness.quick import offer_quick_verdict_on
from app.ui.plain import in_markdown, unbroken
from app.ui.units import percent_with_interval
from app.ui.words import distance_words
from robust_core.checkpoints.card import Card, RobustResult
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.finding import outcome_of_checks
from robust_core.evaluation_runs.stored import card_plan

INTRODUCTION = (
    "Is a robust accuracy real? These are the stored evaluations of four shipped defences: what "
    "is reported, the lowest accuracy measured, and what the reliability checks say."
)
FAMILIES: dict[str, Callable[[CheckpointInfo], bool]] = {
    "masked": lambda info: info.masks_gradients and info.config.method.name == "standard",
    "SPAT": lambda info: info.config.method.name == "spat",
    "CiiV": lambda info: info.config.method.name == "ciiv",
    "ATLD": lambda info: info.config.method.name == "atld",
}
PICTURES = ("cifar10", "mnist", "digits")  # data sets of which a model is preferred, best first


def examples(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Return one measured shipped model of each family: of the best data set, if there is any."""
    usable = [info for info in infos if info.kind == "shipped" and info.measured is not None]
    places = {name: place for place, name in enumerate(PICTURES)}

    def place(info: CheckpointInfo) -> tuple[int, str]:
        return places.get(info.config.data.name, len(PICTURES)), info.name

    found = []
    for belongs in FAMILIES.values():
        own = [info for info in usable if not info.inference and belongs(info)]
        found += sorted(own, key=place)[:1]
    return found


def show_stored(infos: Sequence[CheckpointInfo]) -> None:
    """Draw the sentence, numbers and buttons of each example among all checkpoints."""
    found = examples(infos)
    if not found:
        return
    st.markdown(INTRODUCTION)
    for info in found:
        card = info.measured
        assert card is not None, "examples have been measured"
        with show_sentence(info.name, card.headline()):
            st.table(_rows(card), hide_index=True, border="horizontal")
            with st.container(horizontal=True):
                show_edit(card_plan(info), f"card.{info.name}")
                offer_quick_verdict_on(_evaluated(info, infos))
    st.caption(EXPLANATION)


def _evaluated(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> CheckpointInfo:
    """Return the inference mode of a network that its card reports."""
    mode = info.card.reported.attack.inference
    name = f"{info.name}:{mode}" if mode else info.name
    return next((one for one in infos if one.name == name), info)


def _rows(card: Card) -> list[dict[str, Any]]:
    reported, lowest = card.reported, card.lowest()
    cause = lowest.finding.cause if lowest.finding is not None else ""
    return [
        {
            "Number": unbroken("As reported"),
            "Accuracy": percent_with_interval(reported.accuracy, reported.interval),
            **_attack_cells(reported),
            "Images": f"{reported.num_images:,}",
            "Checks": in_markdown(outcome_of_checks(reported.findings)),
        },
        {
            "Number": unbroken("Lowest measured"),
            "Accuracy": percent_with_interval(lowest.accuracy, lowest.interval),
            **_attack_cells(card.strongest(), cause),
            "Images": f"{lowest.num_images:,}",
            "Checks": in_markdown(lowest.checks),
        },
    ]


def _attack_cells(result: RobustResult, cause: str = "") -> dict[str, str]:
    attack, threat = result.attack, result.threat_model
    source = f"computed on {attack.surrogate_words}" if attack.transfers else ""
    words = ", ".join(filter(None, (attack.words, source, cause)))
    return {
        "Attack": in_markdown(words),
        "Norm": str(threat.norm) if threat else "–",
        "Epsilon": distance_words(threat.norm, threat.epsilon) if threat else "–",
    }
