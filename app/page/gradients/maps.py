"""The input gradients of every class, and beside them the targets they should follow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import streamlit as st
import torch
from plotly.graph_objects import Figure
from torch import Tensor

from app.page.gradients import charts, measure
from app.page.gradients.controls import is_denoiser, offer, short_name, theme, warn_of_masking
from app.ui.image_picker import ChosenImage
from robust_core.analysis.alignment import (
    SCORES,
    ScoreName,
    channel_sum,
    deviations_of_channels,
    signed_maximum,
    three_deviations,
)
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.gradients import cosine

SCORE_KEY, DISPLAY_KEY, KIND_KEY = "gradients.score", "gradients.display", "gradients.targets"
SCORE_WORDS = {
    "log_probability": "log-probability",
    "logit": "logit",
    "loss": "loss",
}
PLAIN_CHART = {"displayModeBar": False}
SHARED = (
    "One symmetric scale for all tiles: its end is the 98th percentile of |gradient| over all "
    "models and classes shown, so a faint row is a model with small gradients."
)


@dataclass(frozen=True)
class Display:
    """A way to show a gradient: its title, its picture (None: our own shared scale), its source."""

    title: str
    picture: Callable[[Tensor], Tensor] | None
    source: str


DISPLAYS = {
    "signed": Display("Signed, summed over channels", None, SHARED),
    "rgb": Display("RGB, shared scale", None, SHARED + " Mid-grey is zero in every channel."),
    "three_deviations": Display(
        "RGB, ±3 deviations",
        three_deviations,
        "Each tile for itself: 3 standard deviations about its mean (Tsipras et al., ICLR 2019, "
        "arXiv:1805.12152).",
    ),
    "channels": Display(
        "RGB, ±1.5 deviations a channel",
        deviations_of_channels,
        "Each tile and channel for itself: 1.5 standard deviations about the mean (tutorial code "
        "of MadryLab).",
    ),
    "maximum": Display(
        "RGB, ± its maximum",
        signed_maximum,
        "Each tile for itself, over its largest entry; mid-grey is zero (Srinivas et al., NeurIPS "
        "2023, arXiv:2305.19101).",
    ),
    "strength": Display(
        "Strength, summed over channels",
        channel_sum,
        "Each tile for itself: sum of |gradient| over channels, cut at its 99th percentile "
        "(Smilkov et al., SmoothGrad, arXiv:1706.03825).",
    ),
}
KINDS = {
    "CM": "Class mean (CM)",
    "OI": "One image (OI)",
    "NN": "Nearest image (NN)",
    "SBG": "Score-based (SBG)",
}
KIND_HELP = (
    "The target g(x, c) points from the image to a training image of class c (OI), to the mean of "
    "the class (CM) or to its nearest image (NN), or along a denoiser's scores at its own noise "
    "level (SBG). Ganz, Kawar and Elad, ICML 2023, arXiv:2207.11378."
)
NO_DENOISER = (
    "Score-based targets (SBG) need a denoiser of this data set: train the network `denoiser` on "
    "the page Train, and they appear here."
)


def show_classes(models: Sequence[CheckpointInfo], image: ChosenImage) -> None:
    """Draw the gradient of every class, models in rows."""
    left, right = st.columns(2)
    st.session_state.setdefault(SCORE_KEY, "log_probability")
    st.session_state.setdefault(DISPLAY_KEY, "signed")
    with left:
        chosen = st.segmented_control(
            "Gradient of",
            list(SCORES),
            format_func=SCORE_WORDS.__getitem__,
            key=SCORE_KEY,
            required=True,
            persist_state="session",
            help="Of each class in turn: its logit, its log-probability, or the cross-entropy with "
            "the class as label, which is minus the log-probability.",
        )
    score = cast(ScoreName, chosen)
    display = right.selectbox(
        "Shown as",
        list(DISPLAYS),
        format_func=lambda name: DISPLAYS[name].title,
        key=DISPLAY_KEY,
        persist_state="session",
    )
    warn_of_masking(models)
    found = np.stack(
        [measure.gradients(info, image.x, score) for info in models]
    )  # [R, K, C, H, W]
    words = charts.Words([short_name(info) for info in models], list(models[0].class_names))
    figure, picture, note = _figure(found, words, display)
    label = models[0].class_names[image.label]
    st.plotly_chart(
        figure,
        config=PLAIN_CHART,
        key="gradients.classes",
        alt=f"Gradient of the {SCORE_WORDS[score]} of every class at an image of {label}; rows: "
        + ", ".join(words.rows),
    )
    st.caption(DISPLAYS[display].source + note)
    names = np.array([info.name for info in models])
    offer(measure.npz(gradients=found, models=names, x=image.x.numpy()), picture, "gradients")


def pick_kind(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> str:
    """Draw the choice of targets; score-based ones are offered where there is a denoiser."""
    kinds = [kind for kind in KINDS if kind != "SBG" or find_denoiser(info, infos) is not None]
    if st.session_state.get(KIND_KEY) not in kinds:
        st.session_state[KIND_KEY] = kinds[0]
    chosen = st.segmented_control(
        "Targets",
        kinds,
        format_func=KINDS.__getitem__,
        key=KIND_KEY,
        required=True,
        persist_state="session",
        help=KIND_HELP,
    )
    if "SBG" not in kinds:
        st.caption(NO_DENOISER)
    return str(chosen)


def find_denoiser(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> CheckpointInfo | None:
    """Return the first denoiser of the same data set, or None."""
    fitting = (
        other
        for other in infos
        if is_denoiser(other)
        and not other.inference
        and other.config.data.name == info.config.data.name
        and other.image_shape == info.image_shape
    )
    return next(fitting, None)


def show_targets(
    models: Sequence[CheckpointInfo], infos: Sequence[CheckpointInfo], image: ChosenImage
) -> None:
    """Draw the targets of every class above the models' gradients, with the cosines."""
    kind = pick_kind(models[0], infos)
    warn_of_masking(models)
    wanted = measure.targets(models[0], image.x, kind, find_denoiser(models[0], infos))
    found = np.stack([measure.gradients(info, image.x, "log_probability") for info in models])
    cosines = cosine(torch.from_numpy(found), torch.from_numpy(wanted)).numpy()  # [R, K]
    maps = np.concatenate([wanted[None], found]).sum(axis=2)  # [1 + R, K, H, W]
    limits = np.percentile(np.abs(maps), charts.PERCENTILE, axis=(2, 3), keepdims=True)
    maps = maps / np.where(limits > 0, limits, 1.0)
    names = list(models[0].class_names)
    words = charts.Words(
        ["target", *(short_name(info) for info in models)],
        names,
        [[""] * len(names), *([f"{value:+.2f}" for value in row] for row in cosines)],
    )
    st.plotly_chart(
        charts.signed_grid(maps, words, 1.0, theme(), "relative"),
        config=PLAIN_CHART,
        key="gradients.targets.chart",
        alt="Targets of every class and the models' gradients. Mean cosine: "
        + ", ".join(
            f"{short_name(info)} {row.mean():.2f}"
            for info, row in zip(models, cosines, strict=True)
        ),
    )
    for place, info, row in zip(st.columns(len(models)), models, cosines, strict=True):
        place.metric(short_name(info), f"{row.mean():+.3f}", help="Mean cosine over the classes.")
    st.caption(
        "Gradients of the log-probability; only directions are compared, so every tile is shown "
        "relative to its own 98th percentile. Under a tile: the cosine of gradient and "
        "target. Softmax forbids meeting all of OI, CM or NN: the gradients, weighted by "
        "probability, sum to zero."
    )
    labels = np.array([info.name for info in models])
    picture = charts.picture_bytes(charts.signed_colours(maps, 1.0))
    data = measure.npz(targets=wanted, gradients=found, cosines=cosines, models=labels)
    offer(data, picture, f"targets-{kind}")


def _figure(found: measure.Array, words: charts.Words, display: str) -> tuple[Figure, bytes, str]:
    """Return the figure of gradients [R,K,C,H,W], its picture as a PNG and a note on its scale."""
    chosen = DISPLAYS[display]
    if display == "signed":
        maps = found.sum(axis=2)
        limit = charts.shared_limit(maps)
        figure = charts.signed_grid(maps, words, limit, theme(), "gradient")
        return figure, charts.picture_bytes(charts.signed_colours(maps, limit)), ""
    note = ""
    if chosen.picture is None:
        limit = charts.shared_limit(found)
        tiles = np.clip(0.5 + 0.5 * found / limit, 0.0, 1.0)
        note = f" Black is -{limit:.3g} or less, white {limit:.3g} or more."
    else:
        tiles = chosen.picture(torch.from_numpy(found).flatten(0, 1)).numpy()
        tiles = tiles.reshape(*found.shape[:2], *tiles.shape[1:])
    tiles = tiles.transpose(0, 1, 3, 4, 2)
    return charts.picture_grid(tiles, words), charts.picture_bytes(tiles), note
