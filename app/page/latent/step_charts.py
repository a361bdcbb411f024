"""Figure of accuracy against the step size: arrays in, plotly figure out; no torch."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from app.ui.charts import ADVERSARIAL, CLEAN, LEGEND, MARGIN, ROBUST

NEUTRAL = "#8C8C8C"
STYLES = {  # colours as in `charts.mode_bars`
    "clean": (CLEAN, "solid", "circle"),
    "static": (NEUTRAL, "dot", "square"),
    "adaptive": (ADVERSARIAL, "dash", "diamond"),
    "worst": (ROBUST, "solid", "x"),
}


def step_size_curve(
    step_sizes: Sequence[float],
    accuracies: Mapping[str, Sequence[float]],
    intervals: Mapping[str, Sequence[tuple[float, float]]],
    names: Mapping[str, str],
    *,
    default: float,
    title: str,
) -> go.Figure:
    """Return accuracy against the step size, one line for each kind of evaluation.

    Args:
        step_sizes: V values, in the unit of the axis.
        accuracies: kind -> V shares in [0, 1]; the kinds are those of `STYLES`.
        intervals: kind -> V intervals around them.
        names: kind -> name in the legend.
        default: the step size to mark.
        title: of the horizontal axis, with the unit.
    """
    figure = go.Figure()
    for kind, values in accuracies.items():
        colour, dash, symbol = STYLES[kind]
        bounds = intervals[kind]
        figure.add_scatter(
            name=names[kind],
            x=list(step_sizes),
            y=[100 * share for share in values],
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 9},
            error_y={
                "array": [100 * (b[1] - v) for v, b in zip(values, bounds, strict=True)],
                "arrayminus": [100 * (v - b[0]) for v, b in zip(values, bounds, strict=True)],
                "thickness": 1,
                "width": 3,
            },
            hovertemplate="step %{x:.3g}: %{y:.1f}\u00a0%<extra>" + names[kind] + "</extra>",
        )
    figure.add_vline(
        default,
        line={"dash": "dot", "color": NEUTRAL},
        annotation={"text": "default", "font": {"color": NEUTRAL}},
    )
    figure.update_layout(height=360, margin={**MARGIN, "t": 24}, legend={**LEGEND, "y": 1.08})
    figure.update_xaxes(title=title, tickvals=list(step_sizes), tickformat=".3~g")
    figure.update_yaxes(title="Accuracy", range=[0, 106], ticksuffix="\u00a0%")
    return figure
