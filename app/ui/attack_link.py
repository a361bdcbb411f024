"""Model, image, attack and target in an address: written by "Copy link", validated when read."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.ui.attack_controls import ATTACK_KEY, FIRST_ATTACK, AttackPlan, form_key, target_keys
from app.ui.forms import fill_form
from app.ui.image_picker import ChosenImage, image_part
from app.ui.model_picker import chosen_model, model_part
from app.ui.page_link import PageLink, State
from app.ui.state import Part
from robust_core.aliases import renamed_parameters
from robust_core.attacks.base import ATTACKS, Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.registry import unknown_name

AUTOMATIC = "automatic"
Infos = Sequence[CheckpointInfo]


def link_state(info: CheckpointInfo, image: ChosenImage, plan: AttackPlan) -> dict[str, str]:
    """Return the query parameters of this state; an uploaded picture is left out."""
    state = {"model": info.name, "data": info.config.data.name, "attack": plan.attack.name}
    state |= image.in_address()
    if plan.target is not None:
        state["target"] = info.class_names[plan.target]
    for name, value in plan.attack.model_dump(mode="json").items():
        state[name] = AUTOMATIC if value is None else str(value)
    return state


def attack_state(info: CheckpointInfo, image: ChosenImage, attack: Attack) -> dict[str, str]:
    """Return the query parameters of an untargeted attack on an image."""
    return link_state(info, image, AttackPlan(attack, None))


def attack_link(page: str, infos: Infos, more: Sequence[Part] = ()) -> PageLink:
    """Return the link of a page with model, image, attack with parameters, and target.

    Args:
        page: name of the page.
        infos: the checkpoints that the page offers, at least one.
        more: further parts of this page.
    """
    parts = [
        model_part(infos),
        data_part(infos),
        image_part(infos),
        Part("attack", lambda name: _take_attack(name, infos)),
        Part("target", lambda name: _take_target(name, infos)),
        *more,
    ]
    names = [part.name for part in parts]
    return PageLink(page, parts, rest=lambda rest: _take_parameters(rest, infos, names))


def data_part(infos: Infos) -> Part:
    """Return the data set in an address; it must be that of the chosen one of `infos`."""

    def take(data: str) -> None:
        info = chosen_model(infos)
        if data != info.config.data.name:
            raise InputError(
                f"data should be {info.config.data.name!r}, which {info.name} was trained on, got "
                f"{data!r}"
            )

    return Part("data", take)


def _take_attack(name: str, infos: Infos) -> None:
    ATTACKS.get(name)  # raises where there is none
    st.session_state[ATTACK_KEY] = name
    targeted, _ = target_keys(chosen_model(infos))
    st.session_state[targeted] = False


def _take_target(name: str, infos: Infos) -> None:
    info = chosen_model(infos)
    if name not in info.class_names:
        raise unknown_name("target", name, list(info.class_names))
    targeted, target = target_keys(info)
    st.session_state[targeted] = True
    st.session_state[target] = info.class_names.index(name)


def _take_parameters(state: State, infos: Infos, names: Sequence[str]) -> None:
    """Fill the form of the chosen attack with the parameters in an address."""
    name = str(st.session_state.get(ATTACK_KEY) or FIRST_ATTACK)
    attack = ATTACKS.get(name)
    values: dict[str, Any] = {
        key: None if value == AUTOMATIC else value
        for key, value in renamed_parameters(state).items()
    }
    known = {key: value for key, value in values.items() if key in attack.model_fields}
    checked = attack.create(known).model_dump(include=set(known))
    if checked:
        fill_form(attack, form_key(chosen_model(infos), name), checked)
    for key in values.keys() - known.keys():
        raise unknown_name("parameter", key, [*names, *attack.model_fields])
