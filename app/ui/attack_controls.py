"""Controls for the attack, its parameters and its target."""

import math
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.ui.forms import has_form, parameter_form, show_input_error
from app.ui.kept import kept
from app.ui.units import capitalised
from robust_core.attacks.base import ATTACKS, Attack
from robust_core.attacks.description import attack_title
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

ATTACK_KEY = "attack.attack"
FIRST_ATTACK = "pgd"
LARGE_IMAGE, FEW_STEPS = 3 * 96 * 96, 10  # numbers in an image; steps of the first attack on more
SLIDERS = {"num_steps": 100.0, "num_restarts": 20.0}


@dataclass(frozen=True)
class AttackPlan:
    """The attack to run and its target class (None: untargeted)."""

    attack: Attack
    target: int | None


def form_key(info: CheckpointInfo, attack_name: str) -> str:
    """Return the key of the form of an attack; each data set keeps its own values."""
    return f"attack.form.{info.config.data.name}.{attack_name}"


def target_keys(info: CheckpointInfo) -> tuple[str, str]:
    """Return the keys of the checkbox "Targeted attack" and of the target class."""
    return "attack.targeted", f"attack.target.{info.config.data.name}"


def first_values(info: CheckpointInfo, attack_name: str) -> dict[str, Any]:
    """Return the first values of the form of an attack: the standard threat model of the data.

    The first attack takes fewer steps on large images, where each takes long.
    """
    standard = info.config.data_threat_model()
    values: dict[str, Any] = {"norm": standard.norm, "epsilon": standard.epsilon}
    fewer = is_large(info) and attack_name == FIRST_ATTACK
    return values | ({"num_steps": FEW_STEPS} if fewer else {})


def is_large(info: CheckpointInfo) -> bool:
    """Return whether the images of a checkpoint are photographs rather than thumbnails."""
    return math.prod(info.image_shape) > LARGE_IMAGE


def pick_attack(info: CheckpointInfo, label: int) -> AttackPlan | None:
    """Draw the controls and return the plan; None, with an error message, if it is invalid.

    Args:
        info: the attacked checkpoint.
        label: the true class; the target must differ from it.
    """
    names = [name for name in ATTACKS.names() if has_form(ATTACKS.get(name))]
    if st.session_state.get(ATTACK_KEY) not in names:
        st.session_state[ATTACK_KEY] = FIRST_ATTACK if FIRST_ATTACK in names else names[0]
    name = st.selectbox(
        "Attack",
        names,
        format_func=lambda one: capitalised(attack_title(one)),
        help=_summary(ATTACKS.get(st.session_state[ATTACK_KEY])),
        **kept(ATTACK_KEY),
    )
    attack = parameter_form(
        ATTACKS.get(name),
        form_key(info, name),
        initial=first_values(info, name),
        advanced=ATTACKS.get(name).advanced,
        sliders=SLIDERS,
    )
    target = _pick_target(info, label)
    if target == label:
        name = info.class_names[label]
        show_input_error(InputError(f"the target should be another class than the label {name}"))
        return None
    return None if attack is None else AttackPlan(attack, target)


def _pick_target(info: CheckpointInfo, label: int) -> int | None:
    targeted_key, target_key = target_keys(info)
    if not st.checkbox(
        "Targeted attack",
        help="Attack towards one chosen class instead of any wrong class.",
        **kept(targeted_key),
    ):
        return None
    if st.session_state.get(target_key) not in range(info.num_classes):
        st.session_state[target_key] = (label + 1) % info.num_classes
    return st.selectbox(
        "Target",
        range(info.num_classes),
        format_func=lambda k: info.class_names[k],
        label_visibility="collapsed",
        **kept(target_key),
    )


def _summary(attack: type[Attack]) -> str:
    return (attack.__doc__ or attack.__name__).strip().split("\n\n")[0]
