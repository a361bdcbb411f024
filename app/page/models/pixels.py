"""The question how a network expects its pixels."""

from typing import Any

import streamlit as st

from app.ui import measure
from robust_core.data import data_source, load_data
from robust_core.errors import InputError
from robust_core.importing.arrival import SCALES, scale_of
from robust_core.importing.layout import Normalisation

FIXED: dict[str, Normalisation] = {"[0, 1]": ((0.0,), (1.0,)), "[-1, 1]": ((0.5,), (0.5,))}
OWN, OF_DATA = "mean and std", "of the data set"
LISTED = {  # what the comparison calls them
    "pixels in [0, 1]": "[0, 1]",
    "pixels in [-1, 1]": "[-1, 1]",
    "mean and std of the images": OF_DATA,
}
SHORT = {  # in the head of a column
    **LISTED,
    "pixels from 0 to 255": "0 to 255",
    "mean and std of ImageNet": "of ImageNet",
    "channels in the order BGR": "BGR",
    "normalised twice": "twice",
}
HELP = (
    "What the network takes, as its training code says; hardly any file does. Mean and std are for "
    "pixels in [0, 1]: (x - mean) / std."
)


def ask_pixels(key: str, data: str | None) -> Normalisation | None:
    """Ask for a normalisation; None as long as nothing is chosen.

    Args:
        key: of the widgets.
        data: the data set; its own mean and std are offered where it is here.

    Raises:
        InputError: what was typed are no numbers.
    """
    here = data is not None and data_source(data).is_available()
    options = [*FIXED, *([OF_DATA] if here else []), OWN]
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    chosen = st.segmented_control("Pixels", options, key=key, help=HELP, persist_state="session")
    if chosen is None:
        return None
    if chosen in FIXED:
        return FIXED[chosen]
    if chosen == OF_DATA:
        assert data is not None, "offered with one only"
        scale = data_scale(data)
        mean, std = (", ".join(f"{v:.4g}" for v in part) for part in scale)
        st.caption(f"Mean {mean}, std {std}: of the pixels of its test images.")
        return scale
    left, right = st.columns(2)
    kept: dict[str, Any] = {
        "persist_state": "session",
        "placeholder": "one number, or one a channel",
    }
    mean = left.text_input("Mean", key=f"{key}.mean", **kept)
    std = right.text_input("Std", key=f"{key}.std", **kept)
    if not mean and not std:
        return None
    return _numbers("mean", str(mean or "")), _numbers("std", str(std or ""))


def pixels_of(way: str) -> dict[str, str]:
    """Return what the widgets are set to for a normalisation of the comparison.

    By what is added to the key of the question; {} for a way that is no mean and std.
    """
    if way in LISTED:
        return {"": LISTED[way]}
    if way not in SCALES:
        return {}
    mean, std = (", ".join(f"{value:.6g}" for value in part) for part in SCALES[way])
    return {"": OWN, ".mean": mean, ".std": std}


def data_scale(data: str) -> Normalisation:
    """Return mean and std of the pixels of the test images of a data set that is here."""

    def find() -> Normalisation:
        mean, std = scale_of(load_data(data, "test"))
        return tuple(round(v, 4) for v in mean), tuple(round(v, 4) for v in std)

    return measure.kept("models.scale", (data,), find)


def _numbers(what: str, text: str) -> tuple[float, ...]:
    try:
        found = tuple(_number(part) for part in text.replace(";", ",").split(",") if part.strip())
    except (ValueError, ZeroDivisionError):
        found = ()
    if not found:
        raise InputError(f"{what} should be one number, or one a channel, such as 0.49, 0.48, 0.45")
    return found


def _number(text: str) -> float:
    """Return a number or a quotient such as 125.3/255."""
    top, _, bottom = text.partition("/")
    return float(top) / float(bottom or 1)
