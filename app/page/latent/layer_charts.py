"""Figures of distances over layers: arrays in, plotly figure out; no torch, no streamlit."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.page.latent.charts import ROLE_COLOURS, ROLE_DASHES, ROLE_SYMBOLS
from app.ui.charts import ADVERSARIAL, LEGEND, MARGIN
from app.ui.plain import in_html
from app.ui.units import PER_CENT

Array = NDArray[np.float64]


def layer_lines(
    layers: Sequence[str],
    values: Mapping[str, Sequence[float]],
    title: str,
    *,
    percentages: bool = False,
) -> go.Figure:
    """Return the distance from the clean images after every layer, one line for each role.

    Args:
        layers: L names.
        values: role -> L values.
        title: of the vertical axis.
        percentages: whether the values are shares in [0, 1].
    """
    figure, suffix = go.Figure(), PER_CENT if percentages else ""
    for role, row in values.items():
        figure.add_scatter(
            name=role.capitalize(),
            x=list(range(1, len(layers) + 1)),
            y=[100 * value for value in row] if percentages else list(row),
            text=list(layers),
            mode="lines+markers",
            line={"color": ROLE_COLOURS[role], "dash": ROLE_DASHES[role]},
            marker={"symbol": ROLE_SYMBOLS[role], "size": 9},
            hovertemplate="%{text}: %{y:.3g}" + suffix + "<extra>" + role + "</extra>",
        )
    figure.update_layout(height=340, margin=MARGIN, legend=LEGEND, showlegend=True)
    figure.update_xaxes(
        title="Layer",
        tickvals=list(range(1, len(layers) + 1)),
        ticktext=_numbered(layers),
        tickangle=-35,
    )
    figure.update_yaxes(title=title, rangemode="tozero")
    if percentages:
        figure.update_yaxes(ticksuffix=PER_CENT, range=[0, 104])
    return figure


def layer_map(
    layers: Sequence[str],
    class_names: Sequence[str],
    values: Array,
    title: str,
    *,
    percentages: bool = False,
    marked: int | None = None,
) -> go.Figure:
    """Return a heat map of one distance, classes in rows and layers in columns.

    Args:
        layers: L names.
        class_names: R names, one per row.
        values: [R,L]; NaN: no cell.
        title: of the map.
        percentages: whether the values are shares in [0, 1].
        marked: the row to frame; None: no row.
    """
    figure = go.Figure()
    number, suffix = (".0f", PER_CENT) if percentages else (".2g", "")
    figure.add_heatmap(
        x=list(range(1, len(layers) + 1)),
        y=[in_html(name) for name in class_names],
        z=100 * values if percentages else values,
        colorscale="Cividis",
        colorbar={"thickness": 14, "tickformat": number, "ticksuffix": suffix},
        text=[list(layers)] * len(class_names),
        hovertemplate="%{text}, class %{y}: %{z:" + number + "}" + suffix + "<extra></extra>",
        hoverongaps=False,
        xgap=1,
        ygap=1,
    )
    if marked is not None:
        figure.add_shape(
            type="rect",
            x0=0.5,
            x1=len(layers) + 0.5,
            y0=marked - 0.5,
            y1=marked + 0.5,
            line={"color": ADVERSARIAL, "width": 3},
        )
    figure.update_layout(
        title={"text": title, "x": 0, "font": {"size": 14}}, height=340, margin={**MARGIN, "t": 36}
    )
    figure.update_xaxes(
        title="Layer",
        tickvals=list(range(1, len(layers) + 1)),
        ticktext=_numbered(layers),
        tickangle=-35,
    )
    figure.update_yaxes(type="category", autorange="reversed", title="Class")
    return figure


def _numbered(layers: Sequence[str]) -> list[str]:
    return [f"{number} {name}" for number, name in enumerate(layers, 1)]
