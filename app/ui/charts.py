"""Figures of several pages: arrays in, plotly figure out; knows neither torch nor streamlit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.ui.plain import in_html
from app.ui.units import percent

CLEAN, ADVERSARIAL, ROBUST = "#0072B2", "#D55E00", "#009E73"
BOUNDARY = "#CC3311"
RANDOM_AXIS = "Random"
PLAIN_CHART = {"displayModeBar": False}  # configuration of a chart without toolbar
MARGIN = {"l": 0, "r": 8, "t": 8, "b": 0}
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
HATCHING = {
    "fillmode": "overlay",
    "fgcolor": "white",
    "fgopacity": 0.6,
    "size": 6,
    "solidity": 0.25,
}
TERM_STYLES = (
    ("#CC6677", "solid"),
    ("#44AA99", "dash"),
    ("#DDCC77", "dot"),
    ("#AA4499", "dashdot"),
)


def top_classes(
    before: NDArray[np.float32], after: NDArray[np.float32], count: int = 5
) -> list[int]:
    """Return the `count` most probable classes before or after, [K] and [K], sorted by before.

    Both predicted classes are always among them.
    """
    chosen = np.argsort(-np.maximum(before, after), kind="stable")[:count]
    return sorted((int(k) for k in chosen), key=lambda k: -float(before[k]))


def probability_bars(
    before: NDArray[np.float32], after: NDArray[np.float32], class_names: Sequence[str]
) -> go.Figure:
    """Return bars of the most probable classes, clean above adversarial, in the same order.

    Args:
        before: probabilities of the clean image [K].
        after: probabilities of the adversarial image [K].
        class_names: K names.
    """
    classes = top_classes(before, after)
    rows = [in_html(class_names[k]) for k in classes]
    figure = go.Figure()
    for name, values, colour, pattern in (
        ("Clean", before, CLEAN, ""),
        ("Adversarial", after, ADVERSARIAL, "/"),
    ):
        shown = [100 * float(values[k]) for k in classes]
        figure.add_bar(
            name=name,
            y=rows,
            x=shown,
            orientation="h",
            marker={"color": colour, "pattern": {"shape": pattern, **HATCHING}},
            text=[percent(value / 100) for value in shown],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1f}\u00a0%<extra>" + name + "</extra>",
        )
    figure.update_layout(
        barmode="group", bargap=0.3, height=46 * len(rows) + 60, margin=MARGIN, legend=LEGEND
    )
    figure.update_xaxes(range=[0, 135], visible=False)
    figure.update_yaxes(type="category", autorange="reversed", title="Class", ticksuffix=" ")
    return figure


def whole_ticks(most: float) -> dict[str, Any]:
    """Return the settings of an axis from 0 to `most` with about 8 ticks, all whole numbers."""
    steps = (1, 2, 5, 10, 20, 50, 100, 200, 500)
    return {
        "dtick": next((step for step in steps if most <= 8 * step), 1000),
        "tickformat": "d",
    }


def accuracy_curves(
    epochs: Sequence[int], clean: Sequence[float], robust: Sequence[float]
) -> go.Figure:
    """Return clean and robust accuracy, in [0, 1], over the epochs."""
    figure = go.Figure()
    for name, values, colour, dash, symbol in (
        ("Clean", clean, CLEAN, "solid", "circle"),
        ("Robust", robust, ROBUST, "dash", "diamond"),
    ):
        figure.add_scatter(
            name=name,
            x=list(epochs),
            y=[100 * value for value in values],
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 7},
            hovertemplate="epoch %{x}: %{y:.1f}\u00a0%<extra>" + name + "</extra>",
        )
    figure.update_layout(height=280, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title="Epoch", rangemode="tozero", **whole_ticks(max(epochs)))
    figure.update_yaxes(title="Validation accuracy", range=[0, 102], ticksuffix="\u00a0%")
    return figure


def term_curves(epochs: Sequence[int], terms: Mapping[str, Sequence[float]]) -> go.Figure:
    """Return the named terms of the training loss over the epochs."""
    figure = go.Figure()
    for number, (name, values) in enumerate(terms.items()):
        colour, dash = TERM_STYLES[number % len(TERM_STYLES)]
        figure.add_scatter(
            name=in_html(name.replace("_", " ")),
            x=list(epochs),
            y=list(values),
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            hovertemplate="epoch %{x}: %{y:.3g}<extra>" + in_html(name) + "</extra>",
        )
    figure.update_layout(height=280, margin=MARGIN, legend=LEGEND, showlegend=True)
    figure.update_xaxes(title="Epoch", rangemode="tozero", **whole_ticks(max(epochs)))
    figure.update_yaxes(title="Terms of the training loss", rangemode="tozero")
    return figure


@dataclass(frozen=True)
class Surface:
    """The data of a plot of the loss around an image.

    Attributes:
        steps: coordinates of both axes [S], in units of epsilon.
        values: the plotted loss [S,S]; rows follow the random axis, columns the adversarial one.
        margin: [S,S], positive where the image is misclassified; 0 is the decision boundary.
        classes: names of the predicted classes, S rows of S.
        axis: title of the first axis. value: name of `values`.
        reached: position of the adversarial image on the first axis; None: not on this plane.
    """

    steps: NDArray[np.float32]
    values: NDArray[np.float32]
    margin: NDArray[np.float32]
    classes: Sequence[Sequence[str]]
    axis: str
    value: str
    reached: float | None


def surface_contour(surface: Surface) -> go.Figure:
    """Return the loss as a contour map, with decision boundary, clean and adversarial image."""
    figure = go.Figure()
    classes = [[in_html(name) for name in row] for row in surface.classes]
    figure.add_contour(
        x=surface.steps,
        y=surface.steps,
        z=surface.values,
        text=classes,
        colorscale="Cividis",
        ncontours=18,
        line={"width": 0.5, "color": "rgba(255,255,255,0.35)"},
        colorbar={"title": {"text": surface.value, "side": "right"}, "thickness": 14},
        hovertemplate="adversarial %{x:.2f}, random %{y:.2f}<br>" + surface.value + " %{z:.3g}"
        "<br>predicted %{text}<extra></extra>",
    )
    if surface.margin.min() < 0 < surface.margin.max():
        figure.add_contour(
            name="Decision boundary",
            x=surface.steps,
            y=surface.steps,
            z=surface.margin,
            contours={"type": "constraint", "operation": "=", "value": 0.0},
            line={"color": BOUNDARY, "width": 3},
            hoverinfo="skip",
            showlegend=True,
        )
    for point in _points(surface):
        figure.add_scatter(
            name=point.name,
            x=[point.along],
            y=[0.0],
            mode="markers",
            marker={
                "symbol": point.symbol,
                "size": 14,
                "color": point.colour,
                "line": {"color": "white", "width": 2},
            },
            hovertemplate=f"{point.name} image<extra></extra>",
        )
    figure.update_layout(height=430, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title=f"{surface.axis} direction (in epsilon)", constrain="domain")
    figure.update_yaxes(
        title=f"{RANDOM_AXIS} direction (in epsilon)", scaleanchor="x", constrain="domain"
    )
    return figure


def surface_relief(surface: Surface) -> go.Figure:
    """Return the loss as a 3-D surface, with decision boundary, clean and adversarial image."""
    figure = go.Figure()
    classes = [[in_html(name) for name in row] for row in surface.classes]
    figure.add_surface(
        x=surface.steps,
        y=surface.steps,
        z=surface.values,
        text=classes,
        colorscale="Cividis",
        colorbar={"title": {"text": surface.value, "side": "right"}, "thickness": 14},
        hovertemplate="adversarial %{x:.2f}, random %{y:.2f}<br>" + surface.value + " %{z:.3g}"
        "<br>predicted %{text}<extra></extra>",
    )
    x, y, z = _crossings(surface)
    if len(x):
        figure.add_scatter3d(
            name="Decision boundary",
            x=x,
            y=y,
            z=z,
            mode="markers",
            marker={"size": 3, "color": BOUNDARY},
            hoverinfo="skip",
        )
    middle = len(surface.steps) // 2
    for point in _points(surface):
        height = np.interp(point.along, surface.steps, surface.values[middle])
        figure.add_scatter3d(
            name=point.name,
            x=[point.along],
            y=[0.0],
            z=[height],
            mode="markers",
            marker={
                "symbol": point.symbol,
                "size": 8,
                "color": point.colour,
                "line": {"color": "white", "width": 2},
            },
            hovertemplate=f"{point.name} image<extra></extra>",
        )
    figure.update_layout(
        height=480,
        margin=MARGIN,
        legend=LEGEND,
        scene={
            "xaxis": {"title": f"{surface.axis} (in epsilon)"},
            "yaxis": {"title": f"{RANDOM_AXIS} (in epsilon)"},
            "zaxis": {"title": surface.value},
            "aspectratio": {"x": 1, "y": 1, "z": 0.6},
            "camera": {"eye": {"x": -1.5, "y": -1.75, "z": 1.0}},
        },
    )
    return figure


@dataclass(frozen=True)
class _Point:
    name: str
    along: float
    symbol: str
    colour: str


def _points(surface: Surface) -> list[_Point]:
    clean = _Point("Clean", 0.0, "circle", CLEAN)
    if surface.reached is None:
        return [clean]
    return [clean, _Point("Adversarial", surface.reached, "diamond", ADVERSARIAL)]


def _crossings(surface: Surface) -> tuple[NDArray[np.float32], ...]:
    """Return interpolated points where the margin changes its sign: x, y, z [M]."""
    x, y = np.meshgrid(surface.steps, surface.steps)
    found = []
    for one, other in (
        (np.s_[:, :-1], np.s_[:, 1:]),  # neighbours along the first axis
        (np.s_[:-1], np.s_[1:]),
    ):
        before, after = surface.margin[one], surface.margin[other]
        crossed = (before > 0) != (after > 0)
        share = (before / np.where(crossed, before - after, 1.0))[crossed]
        found.append(
            [grid[one][crossed] * (1 - share) + grid[other][crossed] * share for grid in (x, y)]
            + [surface.values[one][crossed] * (1 - share) + surface.values[other][crossed] * share]
        )
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
