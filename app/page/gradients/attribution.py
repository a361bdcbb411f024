"""Attribution methods side by side, where each does not apply, and the quality of each."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.gradients import charts, measure
from app.page.gradients.recipe import attribution_recipe
from app.page.gradients.tiles import Scale, Words, tile_grid
from app.ui.copy_recipe import copy_recipe
from app.ui.downloads import npz, offer
from app.ui.image_picker import ChosenImage
from app.ui.pictures import picture_bytes
from app.ui.plain import in_markdown
from app.ui.words import short_name
from robust_core.analysis.attribution import ExplanationQuality
from robust_core.checkpoints.catalog import CheckpointInfo

TITLES = {
    "saliency": "Saliency",
    "input_x_gradient": "Input X Gradient",
    "integrated_gradients": "Integrated Gradients",
    "smoothgrad": "SmoothGrad",
    "guided_backprop": "Guided Backprop",
    "grad_cam": "Grad-CAM",
    "occlusion": "Occlusion",
    "deep_lift": "DeepLift",
}
READING = (
    "**Infidelity**: squared error of the map, optimally scaled, as a prediction of the change of "
    "the logit under Gaussian noise of 0.1. **Sensitivity**: largest change of the map, relative "
    "to its norm, when every pixel changes by at most 0.02. Lower is better, 0 is best (Yeh et "
    "al., NeurIPS 2019, arXiv:1901.09392; 32 perturbations, 8 neighbours, this image only). Logits "
    "of different models differ in scale, so compare infidelity within a row."
)


def show_attribution(models: Sequence[CheckpointInfo], image: ChosenImage) -> None:
    """Draw the maps, methods in columns and models in rows, and offer the quality measures."""
    names = models[0].class_names
    key = f"gradients.explained.{models[0].config.data.name}"
    if st.session_state.get(key) not in range(len(names)):
        st.session_state[key] = image.label
    label = st.selectbox(
        "Explained class",
        range(len(names)),
        format_func=names.__getitem__,
        key=key,
        persist_state="session",
        help="Every method explains the logit of this class.",
    )
    found = measure.attributions(models, image, label)
    if found is None:
        return
    maps = np.stack([each for each, _ in found])  # [R, M, C, H, W]
    _draw(maps, models, names[label], image)
    if image.image_id is not None:
        found_by = attribution_recipe(models[0], image.image_id, label)
        copy_recipe(found_by, key="gradients.attribution.recipe")
    _list_reasons([reasons for _, reasons in found], models)
    _show_quality(models, image, label)


def _draw(
    maps: measure.Array, models: Sequence[CheckpointInfo], label: str, image: ChosenImage
) -> None:
    sums = maps.sum(axis=2)  # [R, M, H, W]
    limits = np.nanpercentile(
        np.abs(np.nan_to_num(sums)), charts.PERCENTILE, axis=(2, 3), keepdims=True
    )
    shown = sums / np.where(limits > 0, limits, 1.0)
    methods = [TITLES[method] for method in measure.METHODS]
    tile_grid(
        shown,
        Words([short_name(info) for info in models], methods),
        image=image.x,
        scale=Scale(1.0, "relative"),
        key="gradients.attribution",
        label=f"Evidence for {label} (positive) and against it (negative); methods: "
        + ", ".join(TITLES.values()),
    )
    st.caption(
        "Positive: evidence for the class. Summed over channels and scaled per tile to its 98th "
        "percentile, because the methods have different units. Baseline of Integrated Gradients, "
        "Occlusion and DeepLift: mid-grey. Empty tile: the method does not apply, see below."
    )
    names = [info.name for info in models]
    offer(
        lambda: npz(maps=maps, models=names, methods=measure.METHODS),
        lambda: picture_bytes(charts.signed_colours(np.nan_to_num(shown), 1.0)),
        "attribution",
    )


def _list_reasons(reasons: Sequence[dict[str, str]], models: Sequence[CheckpointInfo]) -> None:
    lines = []
    for info, found in zip(models, reasons, strict=True):
        for reason in dict.fromkeys(found.values()):
            methods = [TITLES[method] for method, said in found.items() if said == reason]
            verb = "does" if len(methods) == 1 else "do"
            lines.append(
                f"- {', '.join(methods)} {verb} not apply to **{in_markdown(short_name(info))}**: "
                f"{in_markdown(reason)}."
            )
    if lines:
        st.markdown("\n".join(lines))


def _show_quality(models: Sequence[CheckpointInfo], image: ChosenImage, label: int) -> None:
    st.subheader("Explanation quality", anchor=False)
    found = measure.explanation_quality(models, image, label)
    if found is not None:
        _draw_quality([in_markdown(short_name(info)) for info in models], found)
    st.caption(READING)


def _draw_quality(names: Sequence[str], found: Sequence[dict[str, ExplanationQuality]]) -> None:
    rows = []
    for name, quality in zip(names, found, strict=True):
        for number in ("infidelity", "sensitivity"):
            cells = [
                f"{getattr(quality[method], number):.3g}" if method in quality else "–"
                for method in measure.METHODS
            ]
            rows.append(f"| {name}, {number} | " + " | ".join(cells) + " |")
    head = "| Model | " + " | ".join(TITLES.values()) + " |\n" + "|---" * 9 + "|"
    st.markdown("\n".join([head, *rows]))
    stochastic = [name for name, quality in zip(names, found, strict=True) if not quality]
    if stochastic:
        st.caption(
            f"Not measured for {', '.join(stochastic)}: the outputs of a stochastic model differ "
            "from pass to pass."
        )
