"""Alignment of gradients and targets over a sample of test images, against robust accuracy."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.gradients import charts, measure
from app.page.gradients.controls import theme
from app.page.gradients.maps import find_denoiser, pick_kind
from app.page.gradients.recipe import alignment_recipe
from app.ui.charts import PLAIN_CHART
from app.ui.compared_models import comparable_models
from app.ui.copy_recipe import copy_recipe
from app.ui.downloads import download, table
from app.ui.plain import in_markdown
from app.ui.state import Choice
from app.ui.words import result_words, short_name
from robust_core.analysis.alignment import Alignment
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.checkpoints.info import STATED

SAMPLE = Choice("sample", "gradients.sample", {"16": "16", "64": "64", "256": "256"}, start="64")


def show_alignment(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> None:
    """Measure every model of the data set and plot robust accuracy against alignment."""
    models = [info, *(other for other in comparable_models(info, infos) if other.name != info.name)]
    left, right = st.columns([2, 1])
    with left:
        kind = pick_kind(info, infos)
    with right:
        number = int(SAMPLE.segmented("Test images"))
    denoiser = find_denoiser(info, infos) if kind == "SBG" else None
    found = measure.sample_alignment(models, kind, denoiser, number)
    if found is None:
        return
    _draw_scatter(models, found, kind, number)
    lines = alignment_recipe(info, kind, denoiser, number)
    copy_recipe(lines, key="gradients.alignment.recipe")
    conflict = float(found[0].conflict.mean())
    st.markdown(f"Conflict between the targets of an image: **{conflict:.2f}**.")
    st.caption(
        "The log-probability gradients of any softmax classifier, weighted by its probabilities, "
        "sum to zero. So they can align with all targets of an image only if some weighted mean of "
        "the target directions is zero, too. The conflict is the smallest norm of such a mean, "
        "averaged over the images. 0: all targets can be met; "
        f"{info.num_classes**-0.5:.2f}: as for random directions; 1: all targets are one direction."
    )
    st.markdown(f"**{in_markdown(short_name(info))}: mean cosine, class by class**")
    st.plotly_chart(
        charts.class_table(found[0].by_class.numpy(), info.class_names, theme()),
        config=PLAIN_CHART,
        key="gradients.table",
        alt=f"Mean cosine of gradients and targets by class; mean of the diagonal "
        f"{found[0].mean:.3f}.",
    )
    st.caption(
        "If the gradients align with the targets, the diagonal entry is the largest of its row."
    )


def _draw_scatter(
    models: Sequence[CheckpointInfo], found: Sequence[Alignment], kind: str, number: int
) -> None:
    weakest = [min(model.results, key=lambda one: one.accuracy, default=None) for model in models]
    rows = [
        (model, aligned, result)
        for model, aligned, result in zip(models, found, weakest, strict=True)
        if result is not None
    ]
    if rows:
        st.plotly_chart(
            charts.alignment_scatter(
                [short_name(model) for model, _, _ in rows],
                [aligned.mean for _, aligned, _ in rows],
                [result.accuracy for _, _, result in rows],
                [result_words(result) for _, _, result in rows],
            ),
            config=PLAIN_CHART,
            key="gradients.scatter",
            alt="Robust accuracy against alignment: "
            + ", ".join(
                f"{short_name(model)} {aligned.mean:.3f}, {result.accuracy:.0%}"
                for model, aligned, result in rows
            ),
        )
    st.caption(
        f"Alignment: mean cosine of log-probability gradients and targets ({kind}) over "
        f"a sample of {number} test images and all classes. Robust accuracy: the "
        "lowest on each model's card, under the strongest attack that was measured; hover over a "
        "point to see it. The gradient of a stochastic model is that of one random draw. A "
        "correlation over a few models proves nothing."
    )
    absent = [
        short_name(model) for model, result in zip(models, weakest, strict=True) if not result
    ]
    stated = [short_name(model) for model, _, _ in rows if model.imported]
    if stated:
        st.caption(f"Robust accuracy {STATED}: {in_markdown(', '.join(stated))}.")
    if absent:
        st.caption(f"No robust accuracy on the card: {in_markdown(', '.join(absent))}.")
    lines = []
    for model, aligned, result in zip(models, found, weakest, strict=True):
        measured = (result.accuracy, result_words(result)) if result else ("", "")
        numbers = [f"{aligned.mean:.6f}", f"{float(aligned.conflict.mean()):.6f}"]
        lines.append([model.name, kind, number, *numbers, *measured])
    scores = np.array([aligned.mean for aligned in found])
    best = short_name(models[int(scores.argmax())])
    st.markdown(f"Best aligned here: **{in_markdown(best)}** ({scores.max():+.3f}).")
    head = ["model", "targets", "num_images", "alignment", "conflict", "robust_accuracy", "attack"]
    download("Numbers, CSV", lambda: table(head, lines), f"alignment-{kind}.csv")
