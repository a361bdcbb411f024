"""Arrays in, plotly figure out; knows neither torch nor streamlit."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.units import percent

CLEAN, ADVERSARIAL, ROBUST = "#0072B2", "#D55E00", "#009E73"
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
    """Return the `count` classes that are likeliest before or after: [K], [K] -> sorted by before.

    Both winners are always among them.
    """
    chosen = np.argsort(-np.maximum(before, after), kind="stable")[:count]
    return sorted((int(k) for k in chosen), key=lambda k: -float(before[k]))


def probability_bars(
    before: NDArray[np.float32], after: NDArray[np.float32], class_names: Sequence[str]
) -> go.Figure:
    """Return bars of the likeliest classes, clean above adversarial, in one class order.

    Args:
        before: probabilities of the clean image [K].
        after: probabilities of the adversarial image [K].
        class_names: K names.
    """
    classes = top_classes(before, after)
    rows = [class_names[k] for k in classes]
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
            hovertemplate="%{y}: %{x:.1f} %<extra>" + name + "</extra>",
        )
    figure.update_layout(
        barmode="group", bargap=0.3, height=46 * len(rows) + 60, margin=MARGIN, legend=LEGEND
    )
    figure.update_xaxes(range=[0, 118], visible=False)
    figure.update_yaxes(type="category", autorange="reversed", title=None, ticksuffix=" ")
    return figure


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
            hovertemplate="epoch %{x}: %{y:.1f} %<extra>" + name + "</extra>",
        )
    figure.update_layout(height=280, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title="Epoch", rangemode="tozero", tickformat="d")
    figure.update_yaxes(title="Validation accuracy", range=[0, 102], ticksuffix=" %")
    return figure


def term_curves(epochs: Sequence[int], terms: Mapping[str, Sequence[float]]) -> go.Figure:
    """Return the named terms of the training loss over the epochs."""
    figure = go.Figure()
    for number, (name, values) in enumerate(terms.items()):
        colour, dash = TERM_STYLES[number % len(TERM_STYLES)]
        figure.add_scatter(
            name=name.replace("_", " "),
            x=list(epochs),
            y=list(values),
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            hovertemplate="epoch %{x}: %{y:.3g}<extra>" + name + "</extra>",
        )
    figure.update_layout(height=280, margin=MARGIN, legend=LEGEND, showlegend=True)
    figure.update_xaxes(title="Epoch", rangemode="tozero", tickformat="d")
    figure.update_yaxes(title="Training loss", rangemode="tozero")
    return figure
