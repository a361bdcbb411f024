"""Figure of accuracy against epsilon, steps or another parameter; knows no streamlit."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from app.ui.charts import ADVERSARIAL, CLEAN, LEGEND, MARGIN, ROBUST
from app.ui.plain import in_html
from app.ui.units import percent
from robust_core.evaluation.curves import Curve
from robust_core.threat_model import Norm

STYLES = (
    (ROBUST, "solid", "circle"),
    (ADVERSARIAL, "dash", "diamond"),
    (CLEAN, "dot", "square"),
    ("#882255", "dashdot", "triangle-up"),
    ("#999933", "longdash", "x"),
)


CURVE_TITLES = {
    "epsilon": "Epsilon",
    "num_steps": "Steps",
    "num_queries": "Queries",
    "num_restarts": "Restarts",
    "eot_samples": "Passes per gradient",
}


def last_accuracies(curves: Mapping[str, Curve]) -> str:
    """Return the accuracy of each curve at its last value, in words."""
    return ", ".join(f"{label} {percent(curve.accuracies[-1])}" for label, curve in curves.items())


def accuracy_figure(
    curves: Mapping[str, Curve], styles: Sequence[tuple[str, str, str]] = STYLES
) -> go.Figure:
    """Return accuracy against a parameter of an attack, one line per curve, with 95 % intervals.

    Args:
        curves: label -> curve, at least one; all of the same parameter and norm.
        styles: colour, dash and marker of the lines, in order.
    """
    figure = go.Figure()
    first = next(iter(curves.values()))
    scale, title = _axis(first)
    for number, (label, curve) in enumerate(curves.items()):
        colour, dash, symbol = styles[number % len(styles)]
        shares = [100 * share for share in curve.accuracies]
        bounds = [(100 * low, 100 * high) for low, high in curve.intervals]
        figure.add_scatter(
            name=in_html(label),
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
            hovertemplate=f"{CURVE_TITLES[curve.parameter].lower()} %{{x:.3g}}: %{{y:.1f}}\u00a0%"
            f"<extra>{in_html(label)}</extra>",
        )
    figure.update_layout(height=300, margin=MARGIN, legend=LEGEND, showlegend=True)
    if first.parameter == "epsilon":
        figure.update_xaxes(title=title, rangemode="tozero")
    else:  # these parameters grow by factors
        figure.update_xaxes(title=title, type="log", dtick="D2")
    figure.update_yaxes(title="Accuracy", range=[0, 103], ticksuffix="\u00a0%")
    return figure


def _axis(curve: Curve) -> tuple[float, str]:
    """Return the factor of the values and the title of their axis."""
    title = CURVE_TITLES[curve.parameter]
    if curve.parameter != "epsilon":
        return 1.0, title
    if curve.attack.norm is Norm.LINF:
        return 255.0, f"{title} ({Norm.LINF}, n/255)"
    return 1.0, f"{title} ({curve.attack.norm}, pixel units)"
