"""Alignment of all models of a data set against their robust accuracy."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.gradients import charts
from app.page.gradients.baselines import mark, sample_words
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download, table
from app.ui.plain import in_markdown
from app.ui.units import percent
from app.ui.words import result_words, short_name
from robust_core.analysis.alignment import Alignment
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.checkpoints.info import STATED


def show_scatter(models: Sequence[CheckpointInfo], found: Sequence[Alignment], kind: str) -> None:
    """Draw robust accuracy against alignment, and offer both as a table."""
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
                [mark(aligned.cosine) for _, aligned, _ in rows],
                [result.accuracy for _, _, result in rows],
                [result_words(result) for _, _, result in rows],
            ),
            config=PLAIN_CHART,
            key="gradients.scatter",
            alt="Robust accuracy against alignment: "
            + ", ".join(
                f"{short_name(model)} {aligned.mean:.3f}, {percent(result.accuracy)}"
                for model, aligned, result in rows
            ),
        )
    st.caption(
        f"Alignment ({kind}) over {sample_words(found[0])}. Robust accuracy: the "
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
        own = mark(aligned.cosine)
        others = (aligned.shuffled_class, aligned.shuffled_image, aligned.conflict)
        numbers = [own.mean, own.low, own.high, *(float(one.mean()) for one in others)]
        words = [f"{number:.6f}" for number in numbers]
        lines.append([model.name, kind, len(aligned.cosine), *words, *measured])
    scores = np.array([aligned.mean for aligned in found])
    best = short_name(models[int(scores.argmax())])
    st.markdown(f"Best aligned here: **{in_markdown(best)}** ({scores.max():+.3f}).")
    measures = ("alignment", "low", "high", "shuffled_class", "shuffled_image", "conflict")
    head = ["model", "targets", "num_images", *measures, "robust_accuracy", "attack"]
    download("Numbers, CSV", lambda: table(head, lines), f"alignment-{kind}.csv")
