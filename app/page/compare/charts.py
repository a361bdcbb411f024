"""Figures of the page Compare: arrays in, plotly figure out; knows neither torch nor streamlit."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from app.ui.charts import ADVERSARIAL, CLEAN, HATCHING, LEGEND, MARGIN
from app.ui.units import percent

MOST_CLASSES = 5
NEUTRAL = "#8a94a3"
STYLES = (  # of the models: never colour alone
    ("#44AA99", "solid", "circle"),
    ("#CC6677", "dash", "diamond"),
    ("#999933", "dot", "square"),
    ("#AA4499", "dashdot", "triangle-up"),
)

Array = NDArray[np.float32]


def shown_classes(clean: Array, final: Array, count: int = MOST_CLASSES) -> list[int]:
    """Return the classes likeliest for any model, clean or at the end: [M,K], [M,K] -> likeliest.

    Sorted by their number, so that rows keep their places while the attack is played.
    """
    best = np.maximum(clean, final).max(axis=0)
    return sorted(int(k) for k in np.argsort(-best, kind="stable")[:count])


def model_bars(
    clean: Array, now: Array, classes: Sequence[int], names: Sequence[str], models: Sequence[str]
) -> go.Figure:
    """Return bars of class probabilities, a panel for each model, clean above the current step.

    Args:
        clean: probabilities without an attack [M,K].
        now: probabilities at the step that is shown [M,K].
        classes: the rows, C of K.
        names: K class names.
        models: M names.
    """
    figure = make_subplots(
        1, len(models), shared_yaxes=True, subplot_titles=list(models), horizontal_spacing=0.04
    )
    rows = [names[k] for k in classes]
    for panel, name in enumerate(models):
        for role, values, colour, pattern in (
            ("Clean", clean[panel], CLEAN, ""),
            ("At this step", now[panel], ADVERSARIAL, "/"),
        ):
            shown = [100 * float(values[k]) for k in classes]
            figure.add_bar(
                name=role,
                legendgroup=role,
                showlegend=panel == 0,
                y=rows,
                x=shown,
                orientation="h",
                marker={"color": colour, "pattern": {"shape": pattern, **HATCHING}},
                text=[percent(value / 100) for value in shown],
                textposition="outside",
                cliponaxis=False,
                hovertemplate=f"%{{y}}: %{{x:.1f}} %<extra>{name}, {role.lower()}</extra>",
                row=1,
                col=panel + 1,
            )
    figure.update_layout(
        barmode="group",
        bargap=0.3,
        height=44 * len(rows) + 90,
        margin=MARGIN | {"t": 60},
        legend=LEGEND | {"y": 1.14},
    )
    figure.update_xaxes(range=[0, 140], visible=False)
    figure.update_yaxes(type="category", autorange="reversed", ticksuffix=" ")
    return figure


def label_curves(
    probabilities: Sequence[Array], models: Sequence[str], label: str, step: int
) -> go.Figure:
    """Return the probability of the label over the recorded steps, one line for each model.

    Args:
        probabilities: of each model, one value for each recorded step.
        models: their names.
        label: name of the class that is attacked.
        step: the one that is shown, marked by a line.
    """
    figure = go.Figure()
    for number, (values, name) in enumerate(zip(probabilities, models, strict=True)):
        colour, dash, symbol = STYLES[number % len(STYLES)]
        figure.add_scatter(
            name=name,
            x=list(range(len(values))),
            y=100 * values,
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 3},
            marker={"symbol": symbol, "size": 6},
            hovertemplate="step %{x}: %{y:.1f} %<extra>" + name + "</extra>",
        )
    figure.add_vline(x=step, line={"color": NEUTRAL, "dash": "dot"})
    figure.update_layout(height=260, margin=MARGIN, legend=LEGEND, showlegend=True)
    figure.update_xaxes(title="Recorded step", tickformat="d")
    figure.update_yaxes(title=f"Probability of {label}", range=[-2, 104], ticksuffix=" %")
    return figure


def transfer_map(
    shares: Array, words: Sequence[Sequence[str]], models: Sequence[str], title: str
) -> go.Figure:
    """Return a matrix [M,M] of shares in [0, 1], crafted on the row and tested on the column.

    Args:
        shares: what colours a cell.
        words: what is written into it.
        models: M names.
        title: of the colour bar.
    """
    figure = go.Figure()
    figure.add_heatmap(
        x=list(models),
        y=list(models),
        z=100 * shares,
        zmin=0,
        zmax=100,
        colorscale="Cividis",
        text=[list(row) for row in words],
        texttemplate="%{text}",
        textfont={"size": 14},
        xgap=3,
        ygap=3,
        colorbar={"title": {"text": title, "side": "right"}, "thickness": 12, "ticksuffix": " %"},
        hovertemplate="crafted on %{y}, tested on %{x}: %{z:.1f} %<extra></extra>",
    )
    figure.update_layout(height=64 * len(models) + 90, margin=MARGIN | {"t": 16})
    figure.update_xaxes(title="Tested on", side="bottom", type="category", showgrid=False)
    figure.update_yaxes(
        title="Crafted on", type="category", autorange="reversed", showgrid=False, ticksuffix=" "
    )
    return figure
