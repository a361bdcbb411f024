"""Figures of the page Compare: arrays in, plotly figure out; no torch, no streamlit."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.ui.charts import MARGIN
from app.ui.plain import in_html

STYLES = (  # of the models: never colour alone
    ("#44AA99", "solid", "circle"),
    ("#CC6677", "dash", "diamond"),
    ("#999933", "dot", "square"),
    ("#AA4499", "dashdot", "triangle-up"),
)

Array = NDArray[np.float32]


def transfer_map(
    shares: Array, words: Sequence[Sequence[str]], models: Sequence[str], title: str
) -> go.Figure:
    """Return a matrix [M,M] of shares in [0, 1]: surrogate models in rows, evaluated in columns.

    Args:
        shares: colours of the cells.
        words: texts of the cells.
        models: M names.
        title: of the colour bar.
    """
    names = [in_html(name) for name in models]
    figure = go.Figure()
    figure.add_heatmap(
        x=names,
        y=names,
        z=100 * shares,
        zmin=0,
        zmax=100,
        colorscale="Cividis",
        text=[[in_html(text) for text in row] for row in words],
        texttemplate="%{text}",
        textfont={"size": 14},
        xgap=3,
        ygap=3,
        colorbar={
            "title": {"text": in_html(title), "side": "right"},
            "thickness": 12,
            "ticksuffix": "\u00a0%",
        },
        hovertemplate="surrogate %{y}, evaluated %{x}: %{z:.1f}\u00a0%<extra></extra>",
    )
    figure.update_layout(height=64 * len(models) + 90, margin=MARGIN | {"t": 16})
    figure.update_xaxes(title="Evaluated model", side="bottom", type="category", showgrid=False)
    figure.update_yaxes(
        title="Surrogate model",
        type="category",
        autorange="reversed",
        showgrid=False,
        ticksuffix=" ",
    )
    return figure
