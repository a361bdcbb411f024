"""Figures of the retina page: arrays in, plotly figure out; knows neither torch nor streamlit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.ui.charts import ADVERSARIAL, CLEAN, HATCHING, LEGEND, MARGIN
from app.ui.plain import in_html
from app.ui.units import percent

Array = NDArray[np.floating]
NEUTRAL = "#7F8C9B"
FIRST, SECOND = "#44AA99", "#CC6677"  # of lines that are neither clean nor adversarial
HEIGHT = 270


def keep_curve(
    distance: Array, probability: Array, masks: NDArray[np.bool_], radius: float
) -> go.Figure:
    """Return the share of kept pixels against the distance from the fixation.

    Args:
        distance: in pixels, [H,W].
        probability: q, [H,W].
        masks: drawn masks [n,H,W], whose share in rings of a pixel is shown as dots.
        radius: of the fovea, in which every pixel is kept, in pixels.
    """
    order = np.argsort(distance, axis=None)
    rings = np.round(distance).astype(int).ravel()
    num_pixels = np.bincount(rings)
    filled = num_pixels > 0
    kept = np.bincount(rings, weights=masks.mean(axis=0).ravel())[filled] / num_pixels[filled]
    figure = go.Figure()
    figure.add_scatter(
        name="Probability",
        x=distance.ravel()[order],
        y=100 * probability.ravel()[order],
        mode="lines",
        line={"color": FIRST, "width": 2.5},
        hovertemplate="%{x:.1f} pixels: %{y:.1f}\u00a0%<extra></extra>",
    )
    figure.add_scatter(
        name="As drawn",
        x=np.flatnonzero(filled),
        y=100 * kept,
        mode="markers",
        marker={"color": SECOND, "size": 6, "symbol": "diamond"},
        hovertemplate="%{x} pixels: %{y:.1f}\u00a0% of this draw<extra></extra>",
    )
    if radius > 0:
        figure.add_vline(
            min(radius, float(distance.max())),
            line={"dash": "dot", "color": NEUTRAL},
            annotation={"text": "fovea", "font": {"color": NEUTRAL}},
            annotation_position="bottom right",
        )
    figure.update_layout(height=HEIGHT, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title="Eccentricity (pixels)", rangemode="tozero")
    figure.update_yaxes(title="Pixels kept", range=[0, 104], ticksuffix="\u00a0%")
    return figure


def on_curve(values: Array, weight: float, value_title: str) -> go.Figure:
    """Return P(b = 1) = clip((x + w) / 2w, 0, 1) against x, and the histogram of an image.

    Args:
        values: the sampled values of the image, any shape.
        weight: w.
        value_title: title of the horizontal axis.
    """
    low, high = min(float(values.min()), -weight), max(float(values.max()), weight)
    pad = 0.06 * (high - low)
    corners = np.array([low - pad, -weight, weight, high + pad])
    counts, edges = np.histogram(values, bins=24, range=(low, high))
    figure = go.Figure()
    figure.add_bar(
        name="Values of the image",
        x=(edges[:-1] + edges[1:]) / 2,
        y=100 * counts / counts.sum(),
        width=edges[1] - edges[0],
        marker={"color": NEUTRAL, "opacity": 0.55},
        hovertemplate="near %{x:.2f}: %{y:.1f}\u00a0% of the values<extra></extra>",
    )
    figure.add_scatter(
        name="P(b = 1)",
        x=corners,
        y=100 * np.clip((corners + weight) / (2 * weight), 0, 1),
        mode="lines",
        line={"color": FIRST, "width": 2.5},
        hovertemplate="%{x:.2f}: on with %{y:.0f}\u00a0%<extra></extra>",
    )
    figure.update_layout(height=HEIGHT, margin=MARGIN, legend=LEGEND, bargap=0)
    figure.update_xaxes(title=value_title)
    figure.update_yaxes(title="Share", range=[0, 104], ticksuffix="\u00a0%")
    return figure


@dataclass(frozen=True)
class Votes:
    """Predicted classes of one image: of single views [R*V] and of R passes; the image's role."""

    role: str
    views: NDArray[np.int64]
    decisions: NDArray[np.int64]


def vote_bars(votes: Sequence[Votes], class_names: Sequence[str]) -> go.Figure:
    """Return the classes predicted by single views and by passes; others are left out.

    Args:
        votes: of the clean image and, if there is one, of the adversarial image.
        class_names: K names.
    """
    num_classes = len(class_names)
    everything = np.concatenate([part for vote in votes for part in (vote.views, vote.decisions)])
    classes = np.flatnonzero(np.bincount(everything, minlength=num_classes)).tolist()
    figure = go.Figure()
    for vote in votes:
        colour = CLEAN if vote.role == "Clean" else ADVERSARIAL
        for what, cast, pattern in (
            ("single views", vote.views, "/"),
            ("mean of all views", vote.decisions, ""),
        ):
            shares = (np.bincount(cast, minlength=num_classes) / len(cast))[classes]
            figure.add_bar(
                name=f"{vote.role}, {what}",
                x=[in_html(class_names[k]) for k in classes],
                y=100 * shares,
                marker={"color": colour, "pattern": {"shape": pattern, **HATCHING}},
                text=[percent(share) if share else "" for share in shares],
                textposition="outside",
                cliponaxis=False,
                hovertemplate="%{x}: %{y:.1f}\u00a0%<extra></extra>",
            )
    figure.update_layout(
        height=HEIGHT + 40 * (len(votes) - 1),
        margin=MARGIN,
        legend=LEGEND,
        barmode="group",
        showlegend=True,
    )
    figure.update_xaxes(type="category", title="Predicted class")
    figure.update_yaxes(title="Share", range=[0, 115], ticksuffix="\u00a0%")
    return figure


def spread_strip(confidence: Mapping[str, Array], label: str) -> go.Figure:
    """Return the probability of the label in each pass, one row of dots for each role.

    Args:
        confidence: by role ("Clean", "Adversarial"), probabilities in [0, 1], [R].
        label: name of the class.
    """
    figure = go.Figure()
    for name, values in confidence.items():
        clean = name == "Clean"
        figure.add_box(
            name=name,
            x=100 * values,
            y=[name] * len(values),
            orientation="h",
            boxpoints="all",
            jitter=0.6,
            pointpos=0,
            line={"color": CLEAN if clean else ADVERSARIAL},
            fillcolor="rgba(0, 0, 0, 0)",
            marker={"symbol": "circle" if clean else "diamond", "size": 7, "opacity": 0.75},
            hovertemplate="%{x:.1f}\u00a0%<extra></extra>",
        )
    figure.update_layout(
        height=110 + 70 * len(confidence),
        margin={**MARGIN, "r": 28},  # room for the last label
        showlegend=False,
        boxgap=0.35,
    )
    figure.update_xaxes(
        title=f"Probability of {in_html(label)} in a pass",
        range=[-2, 102],
        dtick=25,
        ticksuffix="\u00a0%",
    )
    figure.update_yaxes(title="Image", autorange="reversed", ticksuffix=" ")
    return figure


def path_curves(clean: Array, adversarial: Array, places: Sequence[str], label: str) -> go.Figure:
    """Return the probability of the label at each fixation, clean and adversarial.

    Args:
        clean: probabilities [V].
        adversarial: the same of the adversarial image [V].
        places: the V fixations in words.
        label: name of the class.
    """
    figure = go.Figure()
    steps = np.arange(1, len(places) + 1)
    for name, values, colour, dash, symbol in (
        ("Clean", clean, CLEAN, "solid", "circle"),
        ("Adversarial", adversarial, ADVERSARIAL, "dash", "diamond"),
    ):
        figure.add_scatter(
            name=name,
            x=steps,
            y=100 * values,
            customdata=list(places),
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 8},
            hovertemplate="view %{x}, %{customdata}: %{y:.1f}\u00a0%<extra>" + name + "</extra>",
        )
    figure.update_layout(height=HEIGHT, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title="View", dtick=1)
    figure.update_yaxes(
        title=f"Probability of {in_html(label)}", range=[-2, 104], ticksuffix="\u00a0%"
    )
    return figure


@dataclass(frozen=True)
class AccuracyLine:
    """Accuracy in [0, 1] with 95 % intervals against the number of EOT samples."""

    name: str
    eot_samples: Sequence[int]
    accuracy: Sequence[float]
    interval: Sequence[tuple[float, float]]


def accuracy_lines(lines: Sequence[AccuracyLine], clean_accuracy: float) -> go.Figure:
    """Return robust accuracy against passes per gradient, a line for each surrogate.

    Args:
        lines: one or two.
        clean_accuracy: in [0, 1].
    """
    figure = go.Figure()
    styles = ((FIRST, "dot", "square"), (SECOND, "dash", "diamond"))
    for line, (colour, dash, symbol) in zip(lines, styles, strict=False):
        shares = 100 * np.array(line.accuracy)
        bounds = 100 * np.array(line.interval)
        figure.add_scatter(
            name=line.name,
            x=list(line.eot_samples),
            y=shares,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 8},
            error_y={
                "array": bounds[:, 1] - shares,
                "arrayminus": shares - bounds[:, 0],
                "thickness": 1,
                "width": 3,
            },
            hovertemplate="%{x} passes: %{y:.1f}\u00a0%<extra>" + line.name + "</extra>",
        )
    figure.add_hline(
        100 * clean_accuracy,
        line={"dash": "longdash", "color": NEUTRAL},
        annotation={"text": "without an attack", "font": {"color": NEUTRAL}},
    )
    figure.update_layout(height=320, margin=MARGIN, legend=LEGEND, showlegend=True)
    ticks = sorted({value for line in lines for value in line.eot_samples})
    figure.update_xaxes(title="Passes per gradient (EOT samples)", type="log", tickvals=ticks)
    figure.update_yaxes(title="Accuracy under the attack", range=[0, 106], ticksuffix="\u00a0%")
    return figure


def colour_curve(pale: float, weight: float) -> go.Figure:
    """Return the probability that a block's own channel (1) and its pale channels are on, over w.

    Args:
        pale: value of the pale channels, in [0, 1].
        weight: the chosen w, which is marked.
    """
    weights = np.linspace(0.05, 2.0, 40)  # the steps of the slider
    figure = go.Figure()
    for name, value, colour, dash in (
        ("Own channel (1)", 1.0, SECOND, "solid"),
        (f"Pale channels ({pale:g})", pale, FIRST, "dash"),
    ):
        figure.add_scatter(
            name=name,
            x=weights,
            y=100 * np.clip((value + weights) / (2 * weights), 0, 1),
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5},
            hovertemplate="w = %{x:.2f}: on with %{y:.0f}\u00a0%<extra></extra>",
        )
    figure.add_vline(weight, line={"dash": "dot", "color": NEUTRAL})
    figure.update_layout(height=HEIGHT, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title="Noise weight w")
    figure.update_yaxes(title="Probability of being on", range=[60, 102], ticksuffix="\u00a0%")
    return figure
