"""Figures of the page Latent space: arrays in, plotly figure out; no torch, no streamlit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.ui.charts import ADVERSARIAL, CLEAN, HATCHING, LEGEND, MARGIN, ROBUST
from app.ui.plain import in_html

Array = NDArray[np.float64]

ROLE_COLOURS = {
    "clean": CLEAN,
    "noisy": "#8C8C8C",
    "adversarial": ADVERSARIAL,
    "transformed": "#CC79A7",
}
ROLE_SYMBOLS = {
    "clean": "circle",
    "noisy": "square-open",
    "adversarial": "diamond",
    "transformed": "cross",
}
ROLE_DASHES = {"clean": "solid", "noisy": "dot", "adversarial": "solid", "transformed": "dash"}
CLASS_COLOURS = (
    "#CC6677",
    "#6A5ACD",
    "#DDCC77",
    "#117733",
    "#88CCEE",
    "#AA3377",
    "#44AA99",
    "#999933",
    "#EE8866",
    "#999999",
)  # Paul Tol's muted set without the colours that are hard to see on one of the themes
OUTLINE = {"width": 0.6, "color": "rgba(128,128,128,0.8)"}
PATH_COLOUR = "#EEB422"  # visible on both themes and on top of every cloud


@dataclass(frozen=True)
class Cloud:
    """One type of images of a sample, as points.

    role: a key of `ROLE_COLOURS`. places [N,d], d = 2 or 3. labels [N]: true classes. ids: what a
    selection returns. words: N texts, shown on hover.
    """

    role: str
    places: Array
    labels: NDArray[np.int64]
    ids: Sequence[str]
    words: Sequence[str]


@dataclass(frozen=True)
class Path:
    """The path of one image: places [T,d] and T texts; transformed from `num_iterates` on."""

    places: Array
    words: Sequence[str]
    num_iterates: int


def latent_map(
    clouds: Sequence[Cloud],
    path: Path | None,
    *,
    class_names: Sequence[str] | None = None,
    axes: Sequence[str],
) -> go.Figure:
    """Return the clouds in one 2-D or 3-D scatter plot, with the path of one image on top.

    Args:
        clouds: at least one.
        path: of one image; None: not drawn.
        class_names: names of the classes to colour by; None: colour by role.
        axes: titles of the d axes.
    """
    figure = go.Figure()
    for cloud in clouds:
        if class_names is None:
            _add_points(figure, cloud, np.arange(len(cloud.ids)), cloud.role.capitalize(), None)
    if class_names is not None:
        for k, name in enumerate(map(in_html, class_names)):
            for number, cloud in enumerate(clouds):
                rows = np.flatnonzero(cloud.labels == k)
                _add_points(figure, cloud, rows, name, k, in_legend=number == 0)
    if path is not None:
        _add_path(figure, path)
    figure.update_layout(
        height=560,
        margin=MARGIN,
        legend={**LEGEND, "itemsizing": "constant"},
        modebar={"orientation": "v"},
    )
    if len(axes) == 2:
        quiet = {"zeroline": False, "showticklabels": False}
        figure.update_xaxes(title=axes[0], **quiet)
        figure.update_yaxes(title=axes[1], **quiet)
    else:
        titles = dict(zip(("xaxis", "yaxis", "zaxis"), axes, strict=True))
        figure.update_layout(
            dragmode="orbit",
            scene={
                **{k: {"title": v, "showticklabels": False} for k, v in titles.items()},
                "aspectmode": "cube",
            },
        )
    return figure


def _add_points(
    figure: go.Figure,
    cloud: Cloud,
    rows: NDArray[np.int64],
    name: str,
    k: int | None,
    *,
    in_legend: bool = True,
) -> None:
    """Add points of a cloud in the colour of class `k`, or of the role if `k` is None."""
    colour = ROLE_COLOURS[cloud.role] if k is None else CLASS_COLOURS[k % len(CLASS_COLOURS)]
    flat = cloud.places.shape[1] == 2
    _add(
        figure,
        cloud.places[rows],
        name=name,
        mode="markers",
        legendgroup=name,
        showlegend=in_legend,
        customdata=[cloud.ids[row] for row in rows],
        text=[cloud.words[row] for row in rows],
        hovertemplate="%{text}<extra></extra>",
        marker={
            "color": colour,
            "symbol": ROLE_SYMBOLS[cloud.role],
            "size": 9 if flat else 4,
            "opacity": 0.85,
            "line": OUTLINE,
        },
    )


def _add_path(figure: go.Figure, path: Path) -> None:
    flat = path.places.shape[1] == 2
    symbols = ["circle", *["circle"] * (len(path.places) - 2), "diamond"]
    sizes = [14, *[5] * (len(path.places) - 2), 14] if flat else [7, *[3] * len(path.places[2:]), 7]
    for index in range(path.num_iterates, len(path.places)):
        symbols[index - 1], symbols[index] = "diamond", "cross"
        sizes[index - 1] = sizes[index]
    _add(
        figure,
        path.places,
        name="Path of the chosen image",
        mode="lines+markers",
        text=list(path.words),
        hovertemplate="%{text}<extra></extra>",
        line={"color": PATH_COLOUR, "width": 3 if flat else 5},
        marker={
            "color": PATH_COLOUR,
            "symbol": symbols,
            "size": sizes,
            "line": {"width": 1.5 if flat else 1, "color": "#222222"},
        },
    )


def _add(figure: go.Figure, places: Array, **options: object) -> None:
    columns = dict(zip("xyz", places.T, strict=False))
    if places.shape[1] == 2:
        figure.add_scatter(**columns, **options)
    else:
        figure.add_scatter3d(**columns, **options)


def score_histograms(
    shares: Mapping[str, Array], edges: Array, thresholds: Sequence[float]
) -> go.Figure:
    """Return a histogram of the scores D0 for each role, in shares, and the thresholds."""
    figure = go.Figure()
    for role, share in shares.items():
        figure.add_scatter(
            name=role.capitalize(),
            x=edges,
            y=[*(100 * share), 100 * share[-1]],
            mode="lines",
            line={
                "color": ROLE_COLOURS[role],
                "dash": ROLE_DASHES[role],
                "shape": "hv",
                "width": 2.5,
            },
            fill="tozeroy" if role == "clean" else None,
            opacity=0.9,
            hovertemplate="D0 from %{x:.2f}: %{y:.0f}\u00a0%<extra>" + role + "</extra>",
        )
    for value in thresholds:
        figure.add_vline(
            value,
            line={"dash": "dot", "color": "#8C8C8C"},
            annotation={"text": f"{value:g}", "font": {"color": "#8C8C8C"}},
        )
    figure.update_layout(height=340, margin={**MARGIN, "t": 24}, legend={**LEGEND, "y": 1.08})
    figure.update_xaxes(title="Discriminator score D0 (1: clean)", range=[0, 1])
    figure.update_yaxes(title="Images", ticksuffix="\u00a0%", rangemode="tozero")
    return figure


def accuracy_line(
    positions: Sequence[float],
    accuracy: Sequence[float],
    margins: Sequence[float],
    stops: Sequence[str],
) -> go.Figure:
    """Return accuracy, in [0, 1], and mean margin along a path through `stops`."""
    figure = go.Figure()
    for name, values, colour, dash, axis in (
        ("Accuracy", [100 * value for value in accuracy], ROBUST, "solid", "y"),
        ("Mean margin", list(margins), ADVERSARIAL, "dash", "y2"),
    ):
        figure.add_scatter(
            name=name,
            x=list(positions),
            y=values,
            yaxis=axis,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            hovertemplate="%{y:.3g}<extra>" + name + "</extra>",
        )
    figure.update_layout(
        height=340,
        margin=MARGIN,
        legend=LEGEND,
        yaxis2={
            "title": "Mean margin (logits)",
            "tickformat": ".3g",
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
        },
    )
    figure.update_xaxes(
        title="Position on the path",
        tickvals=list(range(len(stops))),
        ticktext=list(stops),
        showgrid=True,
    )
    figure.update_layout(yaxis={"title": "Accuracy", "ticksuffix": "\u00a0%", "range": [0, 102]})
    return figure


def mode_bars(modes: Sequence[str], accuracies: Mapping[str, Sequence[float | None]]) -> go.Figure:
    """Return bars of accuracy, in [0, 1], for each inference mode and each attack in `_BARS`."""
    figure = go.Figure()
    for name, values in accuracies.items():
        colour, pattern = _BARS[name]
        shown = [None if value is None else 100 * value for value in values]
        figure.add_bar(
            name=name,
            x=list(modes),
            y=shown,
            marker={"color": colour, "pattern": {"shape": pattern, **HATCHING}},
            text=["" if value is None else f"{value:.0f}" for value in shown],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.1f}\u00a0%<extra>" + name + "</extra>",
        )
    figure.update_layout(barmode="group", height=360, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title="Inference mode")
    figure.update_yaxes(title="Accuracy", range=[0, 108], ticksuffix="\u00a0%")
    return figure


_BARS = {
    "Clean": (CLEAN, ""),
    "Static": ("#8C8C8C", "."),
    "Transfer": ("#CC79A7", "\\"),
    "Adaptive": (ADVERSARIAL, "/"),
    "Adaptive, smooth": ("#E69F00", "+"),
    "Worst case": (ROBUST, "x"),
}
