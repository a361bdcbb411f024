"""A gallery of small pictures to choose from."""

from collections.abc import Callable

import streamlit as st
import torch.nn.functional as F
from torch import Tensor

from app.ui.browser.assets import data_url, register
from robust_core.data import ImageSet

LARGEST = 96  # pixels of a small picture's longer side

_render = register("gallery")


def thumbnail(x: Tensor) -> Tensor:
    """Return an image [C,H,W] with sides of at most `LARGEST` pixels, as many a gallery shows."""
    factor = max(x.shape[1:]) / LARGEST
    if factor <= 1:
        return x
    size = [max(1, round(side / factor)) for side in x.shape[1:]]
    return F.interpolate(x[None], size=size, mode="area")[0]


def gallery(images: ImageSet, chosen: int, *, key: str, on_pick: Callable[[int], None]) -> None:
    """Show the images of a small set as buttons.

    Args:
        images: the images.
        chosen: index (`ImageSet.index`) of the selected image.
        key: of the component.
        on_pick: called with the index of the clicked image, before the page reruns.
    """
    items = []
    for i in range(len(images)):
        index = int(images.index[i])
        label = f"{images.class_names[int(images.y[i])]}, image {index}"
        items.append({"id": index, "label": label, "src": data_url(thumbnail(images.x[i]))})

    def picked() -> None:
        value = st.session_state[key].get("picked")
        if isinstance(value, int):
            on_pick(value)

    data = {"items": items, "chosen": chosen, "label": "Images to choose from"}
    _render(key=key, data=data, on_picked_change=picked)
