"""Accuracy against the radius, as a figure; knows no streamlit."""

from collections.abc import Mapping

import plotly.graph_objects as go

from app.plots import ADVERSARIAL, CLEAN, LEGEND, MARGIN, ROBUST
from robust_core.evaluation.curves import Curve
from robust_core.threat_model import Norm

STYLES = (
    (ROBUST, "solid", "circle"),
    (ADVERSARIAL, "dash", "diamond"),
    (CLEAN, "dot", "square"),
    ("#882255", "dashdot", "triangle-up"),
    ("#999933", "longdash", "x"),
)


def radius_curves(curves: Mapping[str, Curve]) -> go.Figure:
    """Return accuracy against the radius, one line an attack, with 95 % intervals.

    Args:
        curves: by the attacks' labels, at least one, all in the same norm.
    """
    figure = go.Figure()
    norm = next(iter(curves.values())).attack.norm
    scale = 255.0 if norm is Norm.LINF else 1.0
    for number, (label, curve) in enumerate(curves.items()):
        colour, dash, symbol = STYLES[number % len(STYLES)]
        shares = [100 * share for share in curve.accuracies]
        bounds = [(100 * low, 100 * high) for low, high in curve.intervals]
        figure.add_scatter(
            name=label,
            x=[scale * value for value in curve.values],
            y=shares,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 7},
            error_y={
                "array": [high - share for share, (_, high) in zip(shares, bounds, strict=True)],
                "arrayminus": [share - low for share, (low, _) in zip(shares, bounds, strict=True)],
                "thickness": 1,
                "width": 3,
            },
            hovertemplate="radius %{x:.3g}: %{y:.1f} %<extra>" + label + "</extra>",
        )
    unit = "n/255" if norm is Norm.LINF else "pixel units"
    figure.update_layout(height=300, margin=MARGIN, legend=LEGEND, showlegend=True)
    figure.update_xaxes(title=f"Radius ({norm}, {unit})", rangemode="tozero")
    figure.update_yaxes(title="Accuracy", range=[0, 103], ticksuffix=" %")
    return figure
