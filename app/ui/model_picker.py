"""The choice of a checkpoint, with its measured accuracies."""

from collections.abc import Sequence

import streamlit as st

from app.ui.state import Choice, remember_model
from app.ui.words import card_help, card_words, checkpoint_title, defended, is_denoiser
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import data_source

MODEL_KEY = "attack.model"
PHOTOGRAPHS = "imagenet-efficientnet_lite0"


class _Model(Choice):
    """The choice of a checkpoint; pages with a choice of their own are told of it."""

    def read(self, text: str) -> str:
        """Return `text`, which was chosen by an address."""
        remember_model(super().read(text))
        return text


def model_part(infos: Sequence[CheckpointInfo]) -> Choice:
    """Return the choice of a checkpoint, shared by all pages."""
    return _Model("model", MODEL_KEY, lambda: [info.name for info in infos])


def chosen_model(infos: Sequence[CheckpointInfo]) -> CheckpointInfo:
    """Return the chosen checkpoint; the first one if none is chosen."""
    chosen = st.session_state.get(MODEL_KEY)
    return next((info for info in infos if info.name == chosen), infos[0])


def pick_model(infos: Sequence[CheckpointInfo]) -> CheckpointInfo:
    """Draw the picker with the measured accuracies and return the chosen checkpoint.

    Args:
        infos: at least one, in the order of the list; the first is the default.
    """
    by_name = {info.name: info for info in infos}
    name = model_part(infos).select(
        "Model",
        format_func=lambda name: checkpoint_title(by_name[name]),
        help="Grouped by data set: shipped models, your own runs and imported files.",
        on_change=lambda: remember_model(st.session_state[MODEL_KEY]),
    )
    st.caption(card_words(by_name[name]), help=card_help(by_name[name]))
    return by_name[name]


def in_order(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Return checkpoints sorted by data set: shipped first, undefended first, masked last.

    Plain adversarial training is the first of the defended ones, as their baseline.
    """

    def place(info: CheckpointInfo) -> tuple:
        baseline = info.name.endswith("-pgd_at")
        data, own = info.config.data.name, "/" in info.name
        return data, own, info.masks_gradients, defended(info), not baseline

    return sorted(infos, key=place)


def classifiers(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Return the checkpoints that classify images."""
    return [info for info in infos if not is_denoiser(info)]


def photograph_model(infos: Sequence[CheckpointInfo]) -> CheckpointInfo | None:
    """Return the shipped model of photographs; None where it or the photographs are not here."""
    found = next((info for info in infos if info.name == PHOTOGRAPHS), None)
    here = found is not None and data_source(found.config.data.name).is_available()
    return found if here else None


def photographs_first(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Return the checkpoints with the model of photographs before all others, if it is here."""
    first = photograph_model(infos)
    return [*([first] if first else []), *(info for info in infos if info is not first)]
