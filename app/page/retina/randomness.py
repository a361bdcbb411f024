"""Accuracy of a retinotopic model against EOT samples and the number of attacked views."""

import streamlit as st

from app.page.retina import charts, measure
from app.page.retina.attack import threat_model
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download, table
from app.ui.units import count_words, percent
from app.ui.words import distance_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicClassifier

NUM_IMAGES = (12, 24, 48, 96)
READING = (
    "**How to read it.** Where accuracy decreases as the attack averages more passes, noise hid "
    "the gradient from the attack; it did not make the model more robust. The same holds where "
    "accuracy is lower under the attack on all views than under the attack on one."
)


def show_randomness(info: CheckpointInfo, network: RetinotopicClassifier) -> None:
    """Draw the controls, the cost and, once measured, accuracy against passes per gradient."""
    st.subheader("Robustness or randomness?", anchor=False)
    limits = threat_model(info)
    num_images = st.select_slider(
        "Test images", NUM_IMAGES, value=24, key="retina.num_images", width=220
    )
    st.caption(
        f"PGD, {limits.norm} {distance_words(limits.norm, limits.epsilon)}, {measure.EOT_STEPS} "
        f"steps, seed 0, on a sample of {num_images} test images, evaluated with one pass of "
        "the model with all its views."
    )
    found = measure.randomness(info, network, _surrogates(network), num_images, limits)
    if found is not None:
        _draw(found, num_images)
    st.markdown(READING)


def _surrogates(network: RetinotopicClassifier) -> dict[str, int]:
    """Return the number of views that each attack uses, by the name of its line."""
    num_views = network.settings.num_views
    names = {1: "Attack on one view", num_views: f"Attack on {count_words(num_views, 'view')}"}
    return {name: number for number, name in names.items()}


def _draw(found: measure.Randomness, num_images: int) -> None:
    words = "; ".join(
        f"{line.name.lower()}: {percent(line.accuracy[0])} at {line.eot_samples[0]} pass, "
        f"{percent(line.accuracy[-1])} at {line.eot_samples[-1]}"
        for line in found.lines
    )
    lowest = min(share for line in found.lines for share in line.accuracy)
    st.markdown(
        f"Of {num_images} images **{percent(found.clean_accuracy)}** are correct without an attack "
        f"and **{percent(lowest)}** under the strongest of these attacks ({words})."
    )
    st.plotly_chart(
        charts.accuracy_lines(found.lines, found.clean_accuracy),
        config=PLAIN_CHART,
        key="retina.accuracy",
        alt=f"Accuracy under attack; {words}.",
    )
    head = ["attack", "eot_samples", "robust_accuracy", "low", "high", "num_images"]
    rows = [
        [line.name, eot, share, low, high, num_images]
        for line in found.lines
        for eot, share, (low, high) in zip(
            line.eot_samples, line.accuracy, line.interval, strict=True
        )
    ]
    download("Numbers, CSV", lambda: table(head, rows), "eot.csv")
