"""Alignment of gradients and targets over a test sample, against robust accuracy."""

import csv
import io
from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.gradients import charts, measure
from app.page.gradients.controls import rivals, seconds, short_name, theme, wanted
from app.page.gradients.maps import find_denoiser, pick_kind
from app.ui.words import card_results, result_words
from robust_core.analysis.alignment import Alignment
from robust_core.checkpoints.catalog import CheckpointInfo

SIZES = (16, 64, 256)


def show_alignment(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> None:
    """Measure every model of the data set and draw alignment against robust accuracy."""
    models = [info, *(other for other in rivals(info, infos) if other.name != info.name)]
    left, right = st.columns([2, 1])
    with left:
        kind = pick_kind(info, infos)
    number = right.segmented_control(
        "Test images", SIZES, default=64, required=True, key="gradients.sample"
    )
    cost = seconds(models, number * (info.num_classes + 1), 16)
    names = tuple(model.name for model in models)
    asked = (kind, number, names)
    if wanted("Measure alignment", cost, "gradients.alignment.run"):
        st.session_state["gradients.alignment.asked"] = asked
    if st.session_state.get("gradients.alignment.asked") != asked:
        st.info(f"Press Measure alignment to compare all {len(models)} models of this data set.")
        return
    denoiser = find_denoiser(info, infos) if kind == "SBG" else None
    place = st.empty()
    found = []
    for count, model in enumerate(models):
        place.progress(count / len(models), f"Model {count + 1} of {len(models)}")
        found.append(measure.sample_alignment(model, kind, denoiser, number))
    place.empty()
    _draw_scatter(models, found, kind, number)
    at_odds = float(found[0].conflict.mean())
    st.markdown(f"How much these targets are at odds with one another: **{at_odds:.2f}**.")
    st.caption(
        "The gradients of any softmax classifier, weighted by its probabilities, add up to zero. "
        "So it can point along all targets of an image only if some weighted mean of their "
        "directions is zero as well; the number is the least length of such a mean, averaged over "
        f"the images. 0: all targets can be met; {info.num_classes**-0.5:.2f}: as random "
        "directions; 1: all of them are one direction."
    )
    st.markdown(f"**{short_name(info)}: gradient of one class, target of another**")
    st.plotly_chart(
        charts.class_table(found[0].by_class.numpy(), info.class_names, theme()),
        config={"displayModeBar": False},
        key="gradients.table",
        alt=f"Mean cosine of gradients and targets by class; mean of the diagonal "
        f"{found[0].mean:.3f}.",
    )
    st.caption("Where gradients mean what they should, the diagonal is the largest of its row.")


def _draw_scatter(
    models: Sequence[CheckpointInfo], found: Sequence[Alignment], kind: str, number: int
) -> None:
    weakest = [
        min(card_results(model), key=lambda result: result["accuracy"], default=None)
        for model in models
    ]
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
                [result["accuracy"] for _, _, result in rows],
                [result_words(result) for _, _, result in rows],
            ),
            config={"displayModeBar": False},
            key="gradients.scatter",
            alt="Robust accuracy against alignment: "
            + ", ".join(
                f"{short_name(model)} {aligned.mean:.3f}, {result['accuracy']:.0%}"
                for model, aligned, result in rows
            ),
        )
    st.caption(
        f"Alignment: mean cosine of log-probability gradients and targets ({kind}) over "
        f"{number} random test images (seed {measure.SEED}) and all classes. Robust accuracy: the "
        "lowest on each model's card, so the strongest attack that was measured; point at a mark "
        "to read it. A stochastic model's gradient is that of one draw. Correlation over a few "
        "models is no proof."
    )
    absent = [
        short_name(model) for model, result in zip(models, weakest, strict=True) if not result
    ]
    if absent:
        st.caption(f"Without a robust accuracy on the card: {', '.join(absent)}.")
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(
        ["model", "targets", "num_images", "alignment", "conflict", "robust_accuracy", "attack"]
    )
    for model, aligned, result in zip(models, found, weakest, strict=True):
        told = (result["accuracy"], result_words(result)) if result else ("", "")
        numbers = [f"{aligned.mean:.6f}", f"{float(aligned.conflict.mean()):.6f}"]
        writer.writerow([model.name, kind, number, *numbers, *told])
    scores = np.array([aligned.mean for aligned in found])
    best = short_name(models[int(scores.argmax())])
    st.markdown(f"Best aligned here: **{best}** ({scores.max():+.3f}).")
    st.download_button(
        "Numbers, CSV",
        table.getvalue(),
        f"alignment-{kind}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="gradients.alignment.csv",
    )
