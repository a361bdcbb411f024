"""The curves of a run: accuracy and the terms of the loss, epoch by epoch."""

import math

import streamlit as st

from app.ui import charts as plots
from app.ui.charts import PLAIN_CHART
from app.ui.plain import in_markdown
from app.ui.units import count_words, percent
from robust_core.training.metrics import EpochMetrics


def show_curves(run_id: str, metrics: list[EpochMetrics]) -> None:
    """Draw both."""
    epochs = [record.epoch for record in metrics]
    clean = [record.clean_accuracy for record in metrics]
    robust = [record.robust_accuracy for record in metrics]
    terms = {
        name: [record.terms.get(name, math.nan) for record in metrics] for name in metrics[-1].terms
    }
    words = ", ".join(f"{name} {values[-1]:.3g}" for name, values in terms.items())
    left, right = st.columns(2)
    left.plotly_chart(
        plots.accuracy_curves(epochs, clean, robust),
        config=PLAIN_CHART,
        key=f"train.accuracy.{run_id}",
        alt=f"Validation accuracy over {count_words(len(epochs), 'epoch')}: at the end "
        f"{percent(clean[-1])} clean, {percent(robust[-1])} robust.",
    )
    right.plotly_chart(
        plots.term_curves(epochs, terms),
        config=PLAIN_CHART,
        key=f"train.terms.{run_id}",
        alt=f"Terms of the training loss over {count_words(len(epochs), 'epoch')}: at the end "
        f"{words.replace('_', ' ')}.",
    )
    last = metrics[-1]
    for name, floor in last.floors.items():
        right.caption(
            f"The {in_markdown(name.replace('_', ' '))} has a lower bound of {floor:.3f}, "
            "whatever the network: "
            f"now {last.terms.get(name, floor) - floor:.3f} above it."
        )
