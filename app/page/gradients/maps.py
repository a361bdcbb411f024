"""The input gradients of every class, and the target directions they are compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import streamlit as st
import torch
from plotly.graph_objects import Figure
from torch import Tensor

from app.page.gradients import charts, measure
from app.page.gradients.controls import theme, warn_of_masking
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import npz, offer
from app.ui.image_picker import ChosenImage
from app.ui.pictures import picture_bytes
from app.ui.plain import in_markdown
from app.ui.state import Choice
from app.ui.words import is_denoiser, short_name
from robust_core.analysis.alignment import (
    ScoreName,
    channel_sum,
    deviations_of_channels,
    signed_maximum,
    three_deviations,
)
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.gradients import cosine

SCORE_WORDS = {
    "log_probability": "log-probability",
    "logit": "logit",
    "loss": "loss",
}
SCORE = Choice("score", "gradients.score", SCORE_WORDS)
SHARED = (
    "All tiles share one symmetric scale, which ends at the 98th percentile of |gradient| over all "
    "models and classes shown: a faint row is a model with small gradients."
)


@dataclass(frozen=True)
class Display:
    """A way to display a gradient.

    title: its name. picture: gradients [B,C,H,W] -> pictures; None: one scale shared by all tiles.
    source: the scale, and the paper it is from.
    """

    title: str
    picture: Callable[[Tensor], Tensor] | None
    source: str


DISPLAYS = {
    "signed": Display("Signed, summed over channels", None, SHARED),
    "rgb": Display("RGB, shared scale", None, SHARED + " Mid-grey is zero in every channel."),
    "three_deviations": Display(
        "RGB, ±3 deviations",
        three_deviations,
        "Scaled per tile: 3 standard deviations about the mean (Tsipras et al., ICLR 2019, "
        "arXiv:1805.12152).",
    ),
    "channels": Display(
        "RGB, ±1.5 deviations per channel",
        deviations_of_channels,
        "Scaled per tile and channel: 1.5 standard deviations about the mean (tutorial code of "
        "MadryLab).",
    ),
    "maximum": Display(
        "RGB, ± maximum",
        signed_maximum,
        "Scaled per tile by its largest absolute entry; mid-grey is zero (Srinivas et al., NeurIPS "
        "2023, arXiv:2305.19101).",
    ),
    "strength": Display(
        "Magnitude, summed over channels",
        channel_sum,
        "Scaled per tile: sum of |gradient| over channels, clipped at its 99th percentile "
        "(Smilkov et al., SmoothGrad, arXiv:1706.03825).",
    ),
}
DISPLAY = Choice(
    "display", "gradients.display", {name: one.title for name, one in DISPLAYS.items()}
)
KINDS = {
    "CM": "Class mean (CM)",
    "OI": "One image (OI)",
    "NN": "Nearest image (NN)",
    "SBG": "Score-based (SBG)",
}
KIND = Choice("targets", "gradients.targets", KINDS, kind="kind of targets")
KIND_HELP = (
    "The target g(x, c) points from the image to a training image of class c (OI), to the class "
    "mean (CM) or to the nearest image of the class (NN), or follows a denoiser's scores at the "
    "noise level it was trained with (SBG). Ganz, Kawar and Elad, ICML 2023, arXiv:2207.11378."
)
NO_DENOISER = (
    "Score-based targets (SBG) need a denoiser for this data set: train the network `denoiser` on "
    "the page Train."
)


def show_classes(models: Sequence[CheckpointInfo], image: ChosenImage) -> None:
    """Draw the gradient of every class, models in rows."""
    left, right = st.columns(2)
    with left:
        chosen = SCORE.segmented(
            "Gradient of",
            help="For each class: its logit, its log-probability, or the cross-entropy with this "
            "class as label, which is minus the log-probability.",
        )
    score = cast(ScoreName, chosen)
    with right:
        display = DISPLAY.select("Display")
    warn_of_masking(models)
    classes = measure.shown_classes(models, image)
    found = measure.gradients(models, image.x, score, classes)  # [R, K, C, H, W]
    names = [models[0].class_names[k] for k in classes]
    words = charts.Words([short_name(info) for info in models], names)
    figure, tiles, note = _figure(found, words, display)
    label = models[0].class_names[image.label]
    st.plotly_chart(
        figure,
        config=PLAIN_CHART,
        key="gradients.classes",
        alt=f"Gradient of the {SCORE_WORDS[score]} of every class at an image of {label}; rows: "
        + ", ".join(words.rows),
    )
    st.caption(DISPLAYS[display].source + note + measure.classes_words(models, classes))
    rows = [info.name for info in models]
    offer(
        lambda: npz(gradients=found, models=rows, classes=names, x=image.x.numpy()),
        lambda: picture_bytes(tiles),
        "gradients",
    )


def pick_kind(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> str:
    """Draw the choice of targets; score-based ones need a denoiser of the data set."""
    kinds = [kind for kind in KINDS if kind != "SBG" or find_denoiser(info, infos) is not None]
    kind = KIND.segmented("Targets", among=kinds, help=KIND_HELP)
    if "SBG" not in kinds:
        st.caption(NO_DENOISER)
    return kind


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
    """Draw the target of every class above the gradients of the models, with their cosines."""
    kind = pick_kind(models[0], infos)
    warn_of_masking(models)
    classes = measure.shown_classes(models, image)
    wanted = measure.targets(models[0], image.x, kind, find_denoiser(models[0], infos))[classes]
    found = measure.gradients(models, image.x, "log_probability", classes)
    cosines = cosine(torch.from_numpy(found), torch.from_numpy(wanted)).numpy()  # [R, K]
    maps = np.concatenate([wanted[None], found]).sum(axis=2)  # [1 + R, K, H, W]
    limits = np.percentile(np.abs(maps), charts.PERCENTILE, axis=(2, 3), keepdims=True)
    maps = maps / np.where(limits > 0, limits, 1.0)
    names = [models[0].class_names[k] for k in classes]
    words = charts.Words(
        ["Target", *(short_name(info) for info in models)],
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
        place.metric(
            in_markdown(short_name(info)),
            f"{row.mean():+.3f}",
            help="Mean cosine of gradient and target over all classes.",
        )
    st.caption(
        "Gradients of the log-probability. Only directions are compared, so every tile is scaled "
        "to its own 98th percentile. Under a tile: cosine of gradient and target. A softmax "
        "classifier cannot meet all targets of OI, CM or NN: its gradients, weighted by "
        "probability, sum to zero." + measure.classes_words(models, classes)
    )
    labels = [info.name for info in models]
    offer(
        lambda: npz(targets=wanted, gradients=found, cosines=cosines, models=labels),
        lambda: picture_bytes(charts.signed_colours(maps, 1.0)),
        f"targets-{kind}",
    )


def _figure(
    found: measure.Array, words: charts.Words, display: str
) -> tuple[Figure, measure.Array, str]:
    """Return the figure of gradients [R,K,C,H,W], its pictures [R,K,H,W,C], a note on its scale."""
    chosen = DISPLAYS[display]
    if display == "signed":
        maps = found.sum(axis=2)
        limit = charts.shared_limit(maps)
        figure = charts.signed_grid(maps, words, limit, theme(), "gradient")
        return figure, charts.signed_colours(maps, limit), ""
    note = ""
    if chosen.picture is None:
        limit = charts.shared_limit(found)
        tiles = np.clip(0.5 + 0.5 * found / limit, 0.0, 1.0)
        note = f" Black is -{limit:.3g} or less, white {limit:.3g} or more."
    else:
        tiles = chosen.picture(torch.from_numpy(found).flatten(0, 1)).numpy()
        tiles = tiles.reshape(*found.shape[:2], *tiles.shape[1:])
    tiles = tiles.transpose(0, 1, 3, 4, 2)
    return charts.picture_grid(tiles, words), tiles, note
