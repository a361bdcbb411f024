"""The choice of models to compare with the chosen one, and its part of an address."""

from collections.abc import Sequence

import streamlit as st

from app.ui.kept import kept
from app.ui.model_picker import chosen_model
from app.ui.state import Part, listed
from app.ui.words import defended, is_denoiser, short_name
from robust_core.checkpoints.catalog import CheckpointInfo

MOST_MODELS = 4


def models_key(data: str) -> str:
    """Return the key of the models compared on a data set."""
    return f"gradients.models.{data}"


def comparable_models(
    info: CheckpointInfo, infos: Sequence[CheckpointInfo]
) -> list[CheckpointInfo]:
    """Return the classifiers that can be compared with `info`: same data set, shape and classes."""
    return [
        other
        for other in infos
        if other.config.data.name == info.config.data.name
        and other.image_shape == info.image_shape
        and other.class_names == info.class_names
        and not is_denoiser(other)
    ]


def pick_models(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Draw the choice of models to compare; return all models, the chosen one first."""
    others = {
        other.name: other for other in comparable_models(info, infos) if other.name != info.name
    }
    key = models_key(info.config.data.name)
    if key not in st.session_state:
        st.session_state[key] = _default_models(info, list(others.values()))
    st.session_state[key] = [name for name in st.session_state[key] if name in others]
    chosen = st.multiselect(
        "Compared with",
        list(others),
        format_func=lambda name: short_name(others[name]),
        max_selections=MOST_MODELS - 1,
        placeholder="No other model",
        **kept(key),
    )
    return [info, *(others[name] for name in chosen)]


def compared_part(infos: Sequence[CheckpointInfo]) -> Part:
    """Return `with` in an address: the names of the models compared with the chosen one.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """

    def take(text: str) -> None:
        names = listed(text, "model", [info.name for info in infos])
        st.session_state[_key(infos)] = names[: MOST_MODELS - 1]

    def tell() -> str | None:
        chosen = st.session_state.get(_key(infos))
        return None if chosen is None else ",".join(chosen)

    return Part("with", take, tell)


def _key(infos: Sequence[CheckpointInfo]) -> str:
    return models_key(chosen_model(infos).config.data.name)


def _default_models(info: CheckpointInfo, others: Sequence[CheckpointInfo]) -> list[str]:
    """Return up to two models: first one that is defended if `info` is not, or the reverse.

    Plain adversarial training is preferred among defended models.
    """
    shipped = [
        other
        for other in others
        if not (other.inference or "/" in other.name or other.masks_gradients)
    ]
    # pgd_at itself, not a variant of it such as awp
    shipped.sort(key=lambda other: not other.name.endswith("-pgd_at"))
    found = [other.name for other in shipped if defended(other) != defended(info)][:1]
    return found + [name for other in shipped if (name := other.name) not in found][:1]
