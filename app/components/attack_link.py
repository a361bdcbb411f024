"""The state of the attack page in its address: written by "Copy link", checked when read."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.attack_controls import (
    ATTACK_KEY,
    FIRST_ATTACK,
    AttackPlan,
    form_key,
    target_keys,
)
from app.components.image_picker import ChosenImage, choose_image
from app.components.model_picker import MODEL_KEY
from app.forms import fill_form
from robust_core.attacks.base import ATTACKS
from robust_core.errors import InputError
from robust_core.registry import unknown_name
from robust_core.training.checkpoint import CheckpointInfo

AUTOMATIC = "automatic"
NAMES = ("model", "data", "image", "attack", "target")
LONGEST_VALUE = 200
_APPLIED, _PROBLEMS = "attack.link", "attack.link_problems"


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


def write_link(state: Mapping[str, str]) -> None:
    """Put a state into the address bar."""
    st.query_params.from_dict(dict(state))
    st.session_state[_APPLIED] = dict(state)
    st.session_state[_PROBLEMS] = []


def apply_link(infos: Sequence[CheckpointInfo]) -> list[str]:
    """Bring the page's widgets into the state of the address, once for each new address.

    Every value is checked; what cannot be used is left at its default.

    Returns:
        One sentence for each value that could not be used.
    """
    state = st.query_params.to_dict()
    if state and st.session_state.get(_APPLIED) != state:
        st.session_state[_APPLIED] = state
        st.session_state[_PROBLEMS] = _Reader(state, infos).read()
    return st.session_state.get(_PROBLEMS, []) if state else []


class _Reader:
    def __init__(self, state: Mapping[str, str], infos: Sequence[CheckpointInfo]) -> None:
        self.state = {name[:LONGEST_VALUE]: value[:LONGEST_VALUE] for name, value in state.items()}
        self.infos = {info.name: info for info in infos}
        self.problems: list[str] = []

    def read(self) -> list[str]:
        for part in (self._model, self._image, self._attack, self._target):
            try:
                part()
            except InputError as error:
                self.problems.append(f"The link cannot be followed in full: {error}.")
        return self.problems

    @property
    def info(self) -> CheckpointInfo:
        """The checkpoint that the page will show."""
        wanted = st.session_state.get(MODEL_KEY)
        return self.infos.get(str(wanted)) or next(iter(self.infos.values()))

    def _model(self) -> None:
        name = self.state.get("model")
        if name is not None:
            if name not in self.infos:
                raise unknown_name("model", name, list(self.infos))
            st.session_state[MODEL_KEY] = name
        data = self.state.get("data", self.info.config.data.name)
        if data != self.info.config.data.name:
            raise InputError(
                f"data should be {self.info.config.data.name!r}, which {self.info.name} was "
                f"trained on, got {data!r}"
            )

    def _image(self) -> None:
        if "image" in self.state:
            choose_image(self.info, self.state["image"])

    def _attack(self) -> None:
        name = self.state.get("attack", st.session_state.get(ATTACK_KEY) or FIRST_ATTACK)
        attack = ATTACKS.get(name)
        values: dict[str, Any] = {
            key: None if value == AUTOMATIC else value
            for key, value in self.state.items()
            if key not in NAMES
        }
        known = {key: value for key, value in values.items() if key in attack.model_fields}
        st.session_state[ATTACK_KEY] = name
        checked = attack.create(known).model_dump(include=set(known))
        if checked:
            fill_form(attack, form_key(self.info, name), checked)
        for key in values.keys() - known.keys():
            raise unknown_name("parameter", key, [*NAMES, *attack.model_fields])

    def _target(self) -> None:
        targeted, target = target_keys(self.info)
        st.session_state[targeted] = False
        if "target" not in self.state:
            return
        names = list(self.info.class_names)
        if self.state["target"] not in names:
            raise unknown_name("target", self.state["target"], names)
        st.session_state[targeted] = True
        st.session_state[target] = names.index(self.state["target"])
