"""The state of the attack page in its address: written by "Copy link", checked when read."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import streamlit as st

from app.ui.attack_controls import ATTACK_KEY, FIRST_ATTACK, AttackPlan, form_key, target_keys
from app.ui.forms import fill_form
from app.ui.image_picker import ChosenImage, choose_image
from app.ui.model_picker import MODEL_KEY
from app.ui.page_link import PageLink, State, Step, one_of, part
from robust_core.attacks.base import ATTACKS
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.registry import unknown_name

AUTOMATIC = "automatic"
NAMES = ("model", "data", "image", "attack", "target")


def link_state(info: CheckpointInfo, image: ChosenImage, plan: AttackPlan) -> dict[str, str]:
    """Return the query parameters that lead back to this state; an uploaded picture is left out."""
    state = {"model": info.name, "data": info.config.data.name, "attack": plan.attack.name}
    if image.image_id is not None:
        state["image"] = image.image_id
    if plan.target is not None:
        state["target"] = info.class_names[plan.target]
    for name, value in plan.attack.model_dump(mode="json").items():
        state[name] = AUTOMATIC if value is None else str(value)
    return state


def attack_page_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page: its model, image, attack with parameters, and target.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    return PageLink("attack", attack_steps(infos))


def attack_steps(infos: Sequence[CheckpointInfo], also: Collection[str] = ()) -> list[Step]:
    """Return the steps that follow model, image, attack with parameters, and target.

    Args:
        infos: the checkpoints that the page offers, at least one.
        also: other parts of the page's address, which these steps leave alone.
    """
    offered = {info.name: info for info in infos}

    def shown() -> CheckpointInfo:
        wanted = st.session_state.get(MODEL_KEY)
        return offered.get(str(wanted)) or next(iter(offered.values()))

    def with_info(step: Callable[[State, CheckpointInfo], None]) -> Step:
        return lambda state: step(
            {name: value for name, value in state.items() if name not in also}, shown()
        )

    model = part("model", one_of("model", MODEL_KEY, lambda: list(offered)))
    return [model, *map(with_info, (_take_data, _take_image, _take_attack, _take_target))]


def _take_data(state: State, info: CheckpointInfo) -> None:
    data = state.get("data", info.config.data.name)
    if data != info.config.data.name:
        raise InputError(
            f"data should be {info.config.data.name!r}, which {info.name} was trained on, got "
            f"{data!r}"
        )


def _take_image(state: State, info: CheckpointInfo) -> None:
    if "image" in state:
        choose_image(info, state["image"])


def _take_attack(state: State, info: CheckpointInfo) -> None:
    name = state.get("attack", st.session_state.get(ATTACK_KEY) or FIRST_ATTACK)
    attack = ATTACKS.get(name)
    values: dict[str, Any] = {
        key: None if value == AUTOMATIC else value
        for key, value in state.items()
        if key not in NAMES
    }
    known = {key: value for key, value in values.items() if key in attack.model_fields}
    st.session_state[ATTACK_KEY] = name
    checked = attack.create(known).model_dump(include=set(known))
    if checked:
        fill_form(attack, form_key(info, name), checked)
    for key in values.keys() - known.keys():
        raise unknown_name("parameter", key, [*NAMES, *attack.model_fields])


def _take_target(state: State, info: CheckpointInfo) -> None:
    targeted, target = target_keys(info)
    st.session_state[targeted] = False
    if "target" not in state:
        return
    names = list(info.class_names)
    if state["target"] not in names:
        raise unknown_name("target", state["target"], names)
    st.session_state[targeted] = True
    st.session_state[target] = names.index(state["target"])
