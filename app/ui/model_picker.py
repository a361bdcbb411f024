"""The choice of a checkpoint, with its measured accuracies.

All pages share one choice. A page that cannot show it, or that is about other models (`usual`),
shows one of its own in its place; the choice of the person stays what it is until she makes one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.ui import models
from app.ui.plain import in_markdown
from app.ui.state import Choice, chosen_here, remember_model
from app.ui.words import card_help, card_words, checkpoint_title, defended, is_denoiser
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import data_source

MODEL_KEY = "attack.model"
INSTEAD_KEY = "attack.model.instead"  # of the widget where another model stands in
Infos = Sequence[CheckpointInfo]
Usual = Callable[[CheckpointInfo], bool]
PHOTOGRAPHS = "imagenet-efficientnet_lite0"


class _Model(Choice):
    """The choice of a checkpoint; pages with a choice of their own are told of it."""

    def __init__(self, infos: Infos, usual: Usual | None) -> None:
        super().__init__("model", MODEL_KEY, lambda: [info.name for info in infos])
        self._infos, self._usual = infos, usual

    def read(self, text: str) -> str:
        """Return `text`, which was chosen by an address."""
        remember_model(super().read(text))
        return text

    def told(self) -> str | None:
        """Return the model that the page shows; None as long as nothing is set."""
        found = chosen_model(self._infos, self._usual).name
        return found if MODEL_KEY in st.session_state else None


def model_part(infos: Infos, usual: Usual | None = None) -> Choice:
    """Return the choice of a checkpoint, shared by all pages; arguments as of `chosen_model`."""
    return _Model(infos, usual)


def chosen_model(infos: Infos, usual: Usual | None = None) -> CheckpointInfo:
    """Return the checkpoint that a page shows: the chosen one, else the first that fits.

    Args:
        infos: the checkpoints that the page offers, at least one.
        usual: which of them the page is about; another is shown where a person chose it on this
            very page. None: all.
    """
    name = st.session_state.get(MODEL_KEY)
    chosen = next((info for info in infos if info.name == name), None)
    if chosen is not None and (usual is None or usual(chosen) or chosen_here(chosen.name)):
        return chosen
    fitting = [info for info in infos if usual is None or usual(info)] or list(infos)
    data = None if chosen is None else chosen.config.data.name
    return next((info for info in fitting if info.config.data.name == data), fitting[0])


def pick_model(
    infos: Infos, usual: Usual | None = None, *, why: str = "cannot be shown here"
) -> CheckpointInfo:
    """Draw the picker with the measured accuracies and return the chosen checkpoint.

    Args:
        infos: at least one, in the order of the list; the first is the default.
        usual: as of `chosen_model`.
        why: what the chosen model is said to do where another one stands in for it.
    """
    by_name = {info.name: info for info in infos}
    if st.session_state.get(MODEL_KEY, infos[0].name) not in by_name:
        _replace_if_gone(infos)
    info = chosen_model(infos, usual)
    looks = {
        "format_func": lambda name: checkpoint_title(by_name[name]),
        "help": "Grouped by data set: shipped models, your own runs and imported files.",
    }
    kept = st.session_state.get(MODEL_KEY, infos[0].name)
    if info.name == kept:
        model_part(infos).select(
            "Model", **looks, on_change=lambda: remember_model(st.session_state[MODEL_KEY])
        )
    else:
        _pick_instead(infos, info, looks)
        if MODEL_KEY in st.session_state:
            st.caption(
                f"{in_markdown(kept)} {why}: this is {in_markdown(info.name)}. Other pages keep "
                f"{in_markdown(kept)} until you choose another model."
            )
    st.caption(card_words(info), help=card_help(info))
    return info


def _replace_if_gone(infos: Infos) -> None:
    """Replace a choice that has been deleted by the first of `infos`."""
    shared = model_part(infos)
    if shared.value not in [one.name for one in models.checkpoints()]:
        shared.put(infos[0].name)


def _pick_instead(infos: Infos, shown: CheckpointInfo, looks: dict[str, Any]) -> None:
    """Draw the picker where a model stands in: only what is chosen there is chosen for all."""
    picker = Choice("model", INSTEAD_KEY, lambda: [info.name for info in infos])

    def choose() -> None:
        model_part(infos).put(picker.value)
        remember_model(picker.value)

    picker.put(shown.name)
    picker.select("Model", on_change=choose, **looks)


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
