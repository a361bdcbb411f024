"""An image on which the fixation is moved by pointer or arrow keys."""

from collections.abc import Callable

import streamlit as st
from torch import Tensor

from app.ui.browser.assets import data_url, register
from robust_core.models.retina.sampler import Centre

_render = register("retina_fixation")


def fixation_picker(
    x: Tensor,
    centre: Centre,
    *,
    radius: float,
    label: str,
    key: str,
    on_move: Callable[[int, int], None],
) -> None:
    """Show an image with its fixation.

    Args:
        x: image [C,H,W] in [0, 1].
        centre: column and row of the fixation.
        radius: of the fovea around it, in which every pixel is kept, in pixels.
        label: what the image shows.
        key: of the component.
        on_move: called with the new column and row before the page runs again.
    """

    def moved() -> None:
        value = st.session_state[key].get("moved")
        if isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value):
            on_move(*value)

    data = {
        "src": data_url(x),
        "width": x.shape[2],
        "height": x.shape[1],
        "column": centre[0],
        "row": centre[1],
        "radius": radius,
        "label": label,
    }
    _render(key=key, data=data, on_moved_change=moved)
