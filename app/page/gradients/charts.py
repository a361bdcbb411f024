"""Figures of the page Gradients: colours of signed maps, alignment and its baselines, its table.

Arrays in, plotly figure out; knows neither torch nor streamlit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.ui.charts import CLEAN, MARGIN, ROBUST
from app.ui.plain import in_html

Array = NDArray[np.float32]
PERCENTILE = 98
SIGNED = {  # negative, zero, positive; zero is the page itself
    "light": ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b"),
    "dark": ("#6fb7ff", "#2f5d8c", "#191e26", "#8c3b32", "#ff8a70"),
}
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star", "hexagon")
KINDS = (("circle", CLEAN), ("square-open", ROBUST), ("diamond-open", "#7a6aa8"))
SYMBOLS += tuple(f"{symbol}-open" for symbol in SYMBOLS)


def shared_limit(values: Array) -> float:
    """Return the limit of a symmetric scale: the 98th percentile of |values|, or 1 if that is 0."""
    found = float(np.percentile(np.abs(values), PERCENTILE))
    return found if found > 0 else 1.0


def signed_colours(tiles: Array, limit: float, theme: str = "light") -> Array:
    """Return signed maps [R,K,H,W] in the colours of a theme: [R,K,H,W,3] in [0, 1]."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in SIGNED[theme]])
    place = (np.clip(tiles / limit, -1, 1) + 1) / 2
    knots = np.linspace(0, 1, len(stops))
    bands = [np.interp(place, knots, stops[:, band]) for band in range(3)]
    return (np.stack(bands, axis=-1) / 255).astype(np.float32)


@dataclass(frozen=True)
class Mark:
    """A mean cosine with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def baseline_chart(names: Sequence[str], kinds: Mapping[str, Sequence[Mark]]) -> go.Figure:
    """Return mean cosines with their intervals, models in rows.

    Args:
        names: of the models.
        kinds: name of a measure or baseline -> its mark for each model; at most three.
    """
    figure = go.Figure()
    for (kind, marks), (symbol, colour) in zip(kinds.items(), KINDS, strict=False):
        figure.add_scatter(
            name=kind,
            x=[mark.mean for mark in marks],
            y=[in_html(name) for name in names],
            mode="markers",
            marker={"size": 11, "symbol": symbol, "color": colour},
            error_x={
                "array": [mark.high - mark.mean for mark in marks],
                "arrayminus": [mark.mean - mark.low for mark in marks],
                "color": colour,
            },
            customdata=[(mark.low, mark.high) for mark in marks],
            hovertemplate=f"%{{y}}, {kind.lower()}: %{{x:.3f}}<br>95\u00a0% interval "
            "%{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>",
        )
    figure.update_layout(
        height=130 + 34 * len(names),
        margin=MARGIN | {"t": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title="Mean cosine of gradient and target", zeroline=True)
    figure.update_yaxes(title="Model", type="category", autorange="reversed", ticksuffix="  ")
    return figure


def alignment_scatter(
    names: Sequence[str], alignments: Sequence[Mark], robust: Sequence[float], words: Sequence[str]
) -> go.Figure:
    """Return robust accuracy in [0, 1] against alignment in [-1, 1], one point per model.

    Args:
        names: of the models.
        alignments: mean cosines.
        robust: robust accuracies.
        words: the attack that each robust accuracy was measured with.
    """
    figure = go.Figure()
    for number, name in enumerate(names):
        figure.add_scatter(
            name=in_html(name),
            x=[alignments[number].mean],
            error_x={
                "array": [alignments[number].high - alignments[number].mean],
                "thickness": 1,
                "color": ROBUST,
            },
            y=[100 * robust[number]],
            mode="markers",
            cliponaxis=False,
            marker={"size": 13, "color": ROBUST, "symbol": SYMBOLS[number % len(SYMBOLS)]},
            hovertemplate=f"{in_html(name)}<br>alignment %{{x:.3f}}<br>%{{y:.1f}}\u00a0% under "
            f"{in_html(words[number])}<extra></extra>",
        )
    figure.update_layout(height=380, margin=MARGIN | {"t": 24}, showlegend=True)
    figure.update_xaxes(title="Alignment (mean cosine with the target)")
    figure.update_yaxes(title="Robust accuracy", range=[-4, 110], ticksuffix="\u00a0%")
    return figure


def class_table(by_class: Array, class_names: Sequence[str], theme: str) -> go.Figure:
    """Return the mean cosine [K,K] of the gradient of class i (row) and the target of class j."""
    limit = float(np.abs(by_class).max()) or 1.0
    names = [in_html(name) for name in class_names]
    figure = go.Figure()
    figure.add_heatmap(
        x=names,
        y=names,
        z=by_class,
        zmin=-limit,
        zmax=limit,
        colorscale=[[i / 4, colour] for i, colour in enumerate(SIGNED[theme])],
        colorbar={"title": {"text": "cosine", "side": "right"}, "thickness": 12},
        hovertemplate="gradient of %{y}, target of %{x}: %{z:.3f}<extra></extra>",
    )
    figure.update_layout(height=380, margin=MARGIN)
    figure.update_xaxes(title="Target of class", type="category")
    figure.update_yaxes(title="Gradient of class", type="category", autorange="reversed")
    return figure
