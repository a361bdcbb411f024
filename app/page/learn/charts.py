"""Figures of the playground: arrays in, plotly figure out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.ui.charts import ADVERSARIAL, LEGEND, MARGIN, ROBUST

Array = NDArray[np.float32]

AREAS = {  # class 0, between, class 1
    "light": ("#cfe8f5", "#ffffff", "#f6dcdf"),
    "dark": ("#1d3f52", "#12161c", "#54303a"),
}
POINTS = (("#88CCEE", "circle"), ("#CC6677", "square"))
ARROWS = {  # colour and line of each layer; the gradient takes the colour of the text
    "gradient": ("", "solid"),
    "pgd": (ADVERSARIAL, "solid"),
    "feature_scattering": ("#AA4499", "dash"),
    "lmae": ("#DDAA33", "dashdot"),
    "target": (ROBUST, "dot"),
}
CURVES = (("#4477AA", "solid", "circle"), ("#EE6677", "dash", "diamond"))
INK = {"light": "#1b2330", "dark": "#e6eaf0"}
HEIGHT = 430


@dataclass(frozen=True)
class Plane:
    """Predictions of a network on a grid, test points, and arrows from some of them.

    first [W], second [H]: coordinates of the grid. probability [H,W]: of class 1. points [N,2],
    y [N]: test points. moves: layer -> start [M,2], end [M,2]. names: titles of the layers.
    """

    first: Array
    second: Array
    probability: Array
    points: Array
    y: NDArray[np.int64]
    moves: Mapping[str, tuple[Array, Array]]
    names: Mapping[str, str]


def plane_map(plane: Plane, theme: str) -> go.Figure:
    """Return the decision regions of a network, its boundary, the points and the arrows."""
    figure = go.Figure()
    ends, middle = AREAS[theme][::2], AREAS[theme][1]
    figure.add_heatmap(
        x=plane.first,
        y=plane.second,
        z=plane.probability,
        zmin=0,
        zmax=1,
        colorscale=[[0, ends[0]], [0.5, middle], [1, ends[1]]],
        showscale=False,
        zsmooth="best",
        hovertemplate="(%{x:.0f}, %{y:.0f}): P(square) %{z:.2f}<extra></extra>",
    )
    if plane.probability.min() < 0.5 < plane.probability.max():
        figure.add_contour(
            name="Boundary",
            x=plane.first,
            y=plane.second,
            z=plane.probability,
            contours={"type": "constraint", "operation": "=", "value": 0.5},
            line={"color": INK[theme], "width": 2.5},
            hoverinfo="skip",
            showlegend=False,
        )
    for label, (colour, symbol) in enumerate(POINTS):
        chosen = plane.points[plane.y == label]
        figure.add_scatter(
            x=chosen[:, 0],
            y=chosen[:, 1],
            mode="markers",
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 6,
                "line": {"color": INK[theme], "width": 0.5},
            },
            showlegend=False,
            hovertemplate=f"class {label} (%{{x:.0f}}, %{{y:.0f}})<extra></extra>",
        )
    for name, (start, end) in plane.moves.items():
        _add_arrows(figure, plane.names[name], start, end, ARROWS[name], theme)
    figure.update_layout(height=HEIGHT, margin=MARGIN, legend=LEGEND, showlegend=True)
    for axis, values in ((figure.update_xaxes, plane.first), (figure.update_yaxes, plane.second)):
        axis(range=[float(values[0]), float(values[-1])], showgrid=False, zeroline=False)
    figure.update_xaxes(title="First coordinate", constrain="domain")
    figure.update_yaxes(title="Second coordinate", scaleanchor="x", constrain="domain")
    return figure


def epsilon_curves(
    names: Sequence[str], epsilons: Sequence[float], shares: Sequence[Sequence[float]], now: float
) -> go.Figure:
    """Return accuracy in [0, 1] against epsilon, a line for each network; `now` is marked."""
    figure = go.Figure()
    for name, row, (colour, dash, symbol) in zip(names, shares, CURVES, strict=False):
        figure.add_scatter(
            name=name,
            x=list(epsilons),
            y=[100 * share for share in row],
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 7},
            hovertemplate="epsilon %{x:g}: %{y:.0f}\u00a0%<extra>" + name + "</extra>",
        )
    figure.add_vline(x=now, line={"dash": "dot", "width": 1.5, "color": ADVERSARIAL})
    figure.update_layout(height=260, margin=MARGIN, legend=LEGEND, showlegend=True)
    figure.update_xaxes(title="Epsilon (L2, units of the plane)")
    figure.update_yaxes(title="Test points correct", range=[-4, 104], ticksuffix="\u00a0%")
    return figure


def _add_arrows(
    figure: go.Figure,
    name: str,
    start: Array,
    end: Array,
    style: tuple[str, str],
    theme: str,
) -> None:
    colour, dash = style[0] or INK[theme], style[1]
    gap = np.full(len(start), np.nan)
    x = np.stack([start[:, 0], end[:, 0], gap], axis=1).ravel()
    y = np.stack([start[:, 1], end[:, 1], gap], axis=1).ravel()
    figure.add_scatter(
        name=name,
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2},
        marker={
            "symbol": "arrow",
            "angleref": "previous",
            "size": np.tile([0, 9, 0], len(start)),
            "color": colour,
            "opacity": 1,
        },
        hoverinfo="skip",
    )
