"""Distances between clean and changed images after every layer, overall and per class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.page.latent import layer_charts
from app.page.latent.link import AGAINST, DISTANCE, DISTANCES
from app.page.latent.measure import LAYER_IMAGES, KeptSample, layers
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download, table
from app.ui.plain import in_markdown
from robust_core.analysis.latent_distances import (
    ClassDistances,
    LayerDistances,
    neighbours_among,
)
from robust_core.checkpoints.catalog import CheckpointInfo

CLASS_KEY = "latent.layer_class"
ALL = -1  # all classes together


@dataclass(frozen=True)
class Measure:
    """One of `DISTANCES`: axis title, explanation, and how to get its value.

    share: whether it is a share in [0, 1], where 1 means no change.
    """

    axis: str
    words: str
    value: Callable[[ClassDistances], float]
    share: bool = False


MEASURES = {
    "relative": Measure(
        "Relative change",
        "Norm of the difference, relative to the norm of the clean output; mean over images.",
        lambda row: row.relative,
    ),
    "angle": Measure(
        "1 - cosine",
        "1 - cosine of clean and changed output; mean over images.",
        lambda row: row.angle,
    ),
    "drift": Measure(
        "Drift (spreads)",
        "Shift of the mean output, relative to the spread (RMS distance from the mean) of the "
        "clean outputs, so that layers can be compared.",
        lambda row: row.drift_in_spreads,
    ),
    "mmd": Measure(
        "MMD",
        "Maximum mean discrepancy under a Gaussian kernel of median width: 0 for equal samples, "
        "at most 1.41.",
        lambda row: row.mmd,
    ),
    "wasserstein": Measure(
        "W1 (spreads)",
        "1-D Wasserstein distance along the direction of the drift, in the same unit.",
        lambda row: row.wasserstein_in_spreads,
    ),
    "overlap": Measure(
        "k-NN overlap",
        "Share of an image's {k} nearest clean neighbours that remain among its {k} nearest: lower "
        "means a stronger effect of the attack.",
        lambda row: row.overlap,
        share=True,
    ),
}


def show_layers(info: CheckpointInfo, sample: KeptSample) -> None:
    """Draw one distance over all layers: a line for each role, and a map of all classes."""
    roles = [role for role in sample.pictures if role != "clean"]
    found = {role: layers(info, sample, role) for role in roles}
    labels = [row.label for row in found[roles[0]][0].rows if row.label is not None]
    num_images = min(LAYER_IMAGES, len(sample.images))
    name, label = _pick(info, labels, num_images)
    lines, map_place = st.columns([1.25, 1], gap="large")
    with lines:
        _show_lines(found, name, label)
    with map_place:
        if not labels:
            st.info("No class has two images in this sample, so there are no distances per class.")
        else:
            _show_map(found[AGAINST.value], info, name, label)
    st.caption(
        f"After every convolutional and linear layer of the base network, "
        f"{num_images} images. If the adversarial line moves away "
        "from the noisy one with depth, the network amplifies the adversarial perturbation. The "
        "map on the right shows the type of images selected under “Compare clean images with”."
    )
    download("Layers, CSV", lambda: _csv(found, info), "latent-layers.csv")


def _pick(info: CheckpointInfo, labels: Sequence[int], num_images: int) -> tuple[str, int]:
    """Draw the choice of distance and class."""
    offered = [ALL, *labels]
    if st.session_state.get(CLASS_KEY) not in offered:
        st.session_state[CLASS_KEY] = ALL
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        name = DISTANCE.segmented("Distance")
        label = st.selectbox(
            "Class of the lines",
            offered,
            format_func=lambda k: "all classes" if k == ALL else info.class_names[k],
            key=CLASS_KEY,
            persist_state="session",
            width=160,
        )
    st.caption(MEASURES[name].words.format(k=neighbours_among(num_images)))
    return name, label


def _show_lines(found: Mapping[str, Sequence[LayerDistances]], name: str, label: int) -> None:
    measure = MEASURES[name]
    values = {
        role: [measure.value(_row(layer, label)) for layer in rows] for role, rows in found.items()
    }
    first, last = values["adversarial"][0], values["adversarial"][-1]
    st.plotly_chart(
        layer_charts.layer_lines(
            [layer.layer for layer in found["adversarial"]],
            values,
            measure.axis,
            percentages=measure.share,
        ),
        config=PLAIN_CHART,
        key="latent.layers",
        alt=f"{DISTANCES[name]} between clean and adversarial outputs: {first:.2g} after the first "
        f"layer, {last:.2g} after the last.",
    )


def _show_map(rows: Sequence[LayerDistances], info: CheckpointInfo, name: str, label: int) -> None:
    measure = MEASURES[name]
    labels = [row.label for row in rows[0].rows if row.label is not None]
    values = np.array([[measure.value(_row(layer, k)) for layer in rows] for k in labels])
    names = [info.class_names[k] for k in labels]
    last = -values[:, -1] if measure.share else values[:, -1]
    farthest = int(np.nan_to_num(last, nan=-np.inf).argmax())
    st.plotly_chart(
        layer_charts.layer_map(
            [layer.layer for layer in rows],
            names,
            values,
            f"{AGAINST.value.capitalize()} images: {DISTANCES[name]} per class",
            percentages=measure.share,
            marked=labels.index(label) if label in labels else None,
        ),
        config=PLAIN_CHART,
        key="latent.layer_map",
        alt=f"{DISTANCES[name]} of every class after every layer; after the last one it is "
        f"largest for class {in_markdown(names[farthest])}.",
    )


def _row(layer: LayerDistances, label: int) -> ClassDistances:
    wanted = None if label == ALL else label
    return next(row for row in layer.rows if row.label == wanted)


def _csv(found: Mapping[str, Sequence[LayerDistances]], info: CheckpointInfo) -> str:
    numbers = ["relative", "angle", "drift", "spread", "mmd", "wasserstein", "overlap"]
    lines = []
    for role, rows in found.items():
        for layer in rows:
            for row in layer.rows:
                name = "all" if row.label is None else info.class_names[row.label]
                values = [f"{getattr(row, number):.6g}" for number in numbers]
                lines.append([role, layer.layer, name, row.num_images, *values])
    return table(["images", "layer", "class", "num_images", *numbers], lines)
