"""The input gradients of every class, and the target directions they are compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from app.page.gradients import charts, measure
from app.page.gradients.controls import warn_of_masking
from app.page.gradients.tiles import Scale, Words, tile_grid
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
    mean_of_other_classes,
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
SCALE = Choice("scale", "gradients.scale", {"shared": "Shared", "own": "Per model"})
SHARED = (
    "All tiles share one symmetric scale, which ends at the 98th percentile of |gradient| over all "
    "models and classes shown: a faint row is a model with small gradients."
)
OWN = (
    "Each model has a symmetric scale of its own, which ends at the 98th percentile of its "
    "|gradient|, so sizes of different models cannot be compared: "
)


@dataclass(frozen=True)
class Display:
    """A way to display a gradient.

    title: its name. picture: gradients [B,C,H,W] -> pictures; None: linear, on the scale chosen.
    source: the scale, and the paper it is from.
    """

    title: str
    picture: Callable[[Tensor], Tensor] | None
    source: str


DISPLAYS = {
    "signed": Display("Signed, summed over channels", None, ""),
    "rgb": Display("RGB, linear", None, " Mid-grey is zero in every channel."),
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
    score, display, scaling = _controls(len(models))
    warn_of_masking(models)
    classes = measure.shown_classes(models, image)
    found = measure.gradients(models, image.x, score, classes)  # [R, K, C, H, W]
    names = [models[0].class_names[k] for k in classes]
    words = Words([short_name(info) for info in models], names)
    tiles, scale, source = _scaled(found, words.rows, display, scaling)
    label = models[0].class_names[image.label]
    tile_grid(
        tiles,
        words,
        image=image.x,
        label=f"Gradient of the {SCORE_WORDS[score]} of every class at an image of {label}; "
        "models: " + ", ".join(words.rows),
        key="gradients.classes",
        scale=scale,
    )
    st.caption(source + measure.classes_words(models, classes))
    rows = [info.name for info in models]
    offer(
        lambda: npz(gradients=found, models=rows, classes=names, x=image.x.numpy()),
        lambda: picture_bytes(
            tiles if scale is None else charts.signed_colours(tiles, scale.limit)
        ),
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
    others = _cosines_with_others(found, wanted)
    maps = np.concatenate([wanted[None], found]).sum(axis=2)  # [1 + R, K, H, W]
    limits = np.percentile(np.abs(maps), charts.PERCENTILE, axis=(2, 3), keepdims=True)
    maps = maps / np.where(limits > 0, limits, 1.0)
    names = [models[0].class_names[k] for k in classes]
    words = Words(
        ["Target", *(short_name(info) for info in models)],
        names,
        [[""] * len(names), *([f"{value:+.2f}" for value in row] for row in cosines)],
    )
    st.markdown(_sentence(models[0], cosines[0], others[0]))
    for place, info, row, other in zip(
        st.columns(len(models)), models, cosines, others, strict=True
    ):
        place.metric(
            in_markdown(short_name(info)),
            f"{row.mean():+.3f}",
            f"other classes: {other.mean():+.3f}",
            delta_color="off",
            delta_arrow="off",
            help="Mean cosine of gradient and target over all classes shown; below, of the "
            "gradient of each class and the targets of the others: what shuffled classes give.",
        )
    tile_grid(
        maps,
        words,
        image=image.x,
        label="Targets of every class and the models' gradients. Mean cosine: "
        + ", ".join(
            f"{short_name(info)} {row.mean():.2f}"
            for info, row in zip(models, cosines, strict=True)
        ),
        key="gradients.targets.grid",
        scale=Scale(1.0, "relative"),
    )
    st.caption(
        "Gradients of the log-probability. Only directions are compared, so every tile is scaled "
        "to its own 98th percentile. Under a tile: cosine of gradient and target. A softmax "
        "classifier cannot meet all targets of OI, CM or NN: its gradients, weighted by "
        "probability, sum to zero. One image says little: the view Alignment measures "
        "many, with intervals." + measure.classes_words(models, classes)
    )
    labels = [info.name for info in models]
    offer(
        lambda: npz(targets=wanted, gradients=found, cosines=cosines, models=labels),
        lambda: picture_bytes(charts.signed_colours(maps, 1.0)),
        f"targets-{kind}",
    )


def _controls(num_models: int) -> tuple[ScoreName, str, str]:
    """Draw the choice of score, display and scale, and return them."""
    left, middle, right = st.columns([1.2, 1.2, 1])
    with left:
        score = SCORE.segmented(
            "Gradient of",
            help="For each class: its logit, its log-probability, or the cross-entropy with this "
            "class as label, which is minus the log-probability.",
        )
    with middle:
        display = DISPLAY.select("Display")
    with right:
        fixed = num_models == 1 or DISPLAYS[display].picture is not None
        scale = SCALE.segmented(
            "Colour scale",
            disabled=fixed,
            help="Shared: sizes can be compared. Per model: small gradients can be seen, too. For "
            "several models on a linear display; the others scale every tile.",
        )
    return cast(ScoreName, score), display, "shared" if fixed else scale


def _scaled(
    found: measure.Array, names: Sequence[str], display: str, scaling: str
) -> tuple[measure.Array, Scale | None, str]:
    """Return what to draw of gradients [R,K,C,H,W], the scale of signed maps, and a caption."""
    chosen = DISPLAYS[display]
    if chosen.picture is not None:
        tiles = chosen.picture(torch.from_numpy(found).flatten(0, 1)).numpy()
        tiles = tiles.reshape(*found.shape[:2], *tiles.shape[1:])
        return tiles.transpose(0, 1, 3, 4, 2), None, chosen.source
    maps = found.sum(axis=2) if display == "signed" else found
    own = [charts.shared_limit(one) for one in maps]
    limit = charts.shared_limit(maps)
    words, unit = SHARED, "gradient"
    if scaling == "own":
        ends = np.array(own, dtype=np.float32).reshape(-1, *[1] * (maps.ndim - 1))
        maps, limit, unit = maps / ends, 1.0, "of each model's end of scale"
        ends_words = (f"{name} {end:.2g}" for name, end in zip(names, own, strict=True))
        words = OWN + in_markdown(", ".join(ends_words)) + "."
    if display == "signed":
        return maps, Scale(limit, unit), words
    tiles = np.clip(0.5 + 0.5 * maps / limit, 0.0, 1.0).transpose(0, 1, 3, 4, 2)
    if scaling == "shared":
        words += f" Black is -{limit:.3g} or less, white {limit:.3g} or more."
    return tiles, None, words + chosen.source


def _cosines_with_others(found: measure.Array, wanted: measure.Array) -> measure.Array:
    """Return the mean cosine of each gradient [R,K,...] and the targets of other classes: [R,K]."""
    gradients, targets = torch.from_numpy(found)[:, :, None], torch.from_numpy(wanted)
    return mean_of_other_classes(cosine(gradients, targets[None, None])).numpy()


def _sentence(info: CheckpointInfo, cosines: measure.Array, others: measure.Array) -> str:
    return (
        f"At this image the gradients of **{in_markdown(short_name(info))}** have a mean cosine of "
        f"**{cosines.mean():+.2f}** with the target of their own class and of "
        f"**{others.mean():+.2f}** with those of other classes; {int((cosines > others).sum())} of "
        f"{len(cosines)} classes are closer to their own."
    )
