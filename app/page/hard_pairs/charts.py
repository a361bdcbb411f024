"""Figures of the page Hard pairs: arrays in, plotly figure out; knows no torch, no streamlit."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.ui.charts import ADVERSARIAL, CLEAN, HATCHING, LEGEND, MARGIN, ROBUST
from app.ui.plain import in_html
from app.ui.units import percent

NEUTRAL = "#8a94a3"
FIRST_MODEL, SECOND_MODEL = "#6A7FDB", "#DDAA33"  # neither is a role
NAMED = 3  # points of a scatter plot with a name
SHOWN_NATS = 4.0  # range of the colour scale above the minimum of the loss
LINES = (  # colour (Paul Tol's muted set, lightened for the dark theme), dash and marker
    ("#CC6677", "solid", "circle"),
    ("#6A7FDB", "dash", "diamond"),
    ("#DDCC77", "dot", "square"),
    ("#2E9E57", "dashdot", "triangle-up"),
    ("#88CCEE", "longdash", "x"),
    ("#C0457F", "solid", "star"),
    ("#44AA99", "dash", "cross"),
    ("#999933", "dot", "pentagon"),
    ("#AA4499", "dashdot", "hexagon"),
    ("#B5651D", "longdash", "triangle-down"),
)

Array = NDArray[np.float32]


def class_bars(clean: Array, robust: Array, worst: int, class_names: Sequence[str]) -> go.Figure:
    """Return clean and robust accuracy of each class [K], [K]; the worst robust one is marked."""
    figure = go.Figure()
    _add_bars(figure, "Clean", clean, class_names, CLEAN, "")
    _add_bars(figure, "Robust", robust, class_names, ROBUST, "/")
    return _with_worst(figure, worst, class_names)


def card_bars(robust: Array, worst: int, class_names: Sequence[str]) -> go.Figure:
    """Return the robust accuracy of each class [K] alone; the worst one is marked."""
    figure = go.Figure()
    _add_bars(figure, "Robust", robust, class_names, ROBUST, "/")
    return _with_worst(figure, worst, class_names)


def _with_worst(figure: go.Figure, worst: int, class_names: Sequence[str]) -> go.Figure:
    figure.add_annotation(
        x=in_html(class_names[worst]),
        y=102,
        text="worst ▾",
        showarrow=False,
        yanchor="bottom",
        font={"color": ADVERSARIAL},
    )
    figure.update_layout(barmode="group", bargap=0.25, height=280, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(type="category", title="Class")
    figure.update_yaxes(title="Accuracy", range=[0, 115], tickvals=[0, 25, 50, 75, 100])
    figure.update_yaxes(ticksuffix="\u00a0%")
    return figure


def _add_bars(
    figure: go.Figure,
    name: str,
    shares: Array,
    class_names: Sequence[str],
    colour: str,
    pattern: str,
) -> None:
    """Add one bar per class, of shares [K] in [0, 1]."""
    figure.add_bar(
        name=name,
        x=[in_html(one) for one in class_names],
        y=[100 * float(share) for share in shares],
        marker={"color": colour, "pattern": {"shape": pattern, **HATCHING}},
        hovertemplate="%{x}: %{y:.1f}\u00a0%<extra>" + name + "</extra>",
    )


def model_bars(
    first: Array, second: Array, model_names: Sequence[str], class_names: Sequence[str]
) -> go.Figure:
    """Return the robust accuracy of each class of two models, [K] and [K] in [0, 1]."""
    figure = go.Figure()
    for name, values, colour, pattern in (
        (in_html(model_names[0]), first, FIRST_MODEL, ""),
        (in_html(model_names[1]), second, SECOND_MODEL, "/"),
    ):
        _add_bars(figure, name, values, class_names, colour, pattern)
    figure.update_layout(barmode="group", bargap=0.25, height=300, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(type="category", title="Class")
    figure.update_yaxes(title="Robust accuracy", range=[0, 103], ticksuffix="\u00a0%")
    return figure


def label_bars(shares: Array, source: int, class_names: Sequence[str]) -> go.Figure:
    """Return the distribution [K] of predictions for images of class `source`."""
    own = [k == source for k in range(len(class_names))]
    figure = go.Figure()
    figure.add_bar(
        x=[in_html(one) for one in class_names],
        y=[100 * float(share) for share in shares],
        marker={
            "color": [ROBUST if mine else ADVERSARIAL for mine in own],
            "pattern": {"shape": ["" if mine else "/" for mine in own], **HATCHING},
        },
        text=[percent(float(share)) if share >= 0.005 else "" for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}: %{y:.1f}\u00a0%<extra></extra>",
    )
    figure.update_layout(height=300, margin=MARGIN | {"t": 24}, showlegend=False, bargap=0.25)
    figure.update_xaxes(type="category", title="Predicted")
    figure.update_yaxes(
        title=f"Share of class {in_html(class_names[source])}", range=[0, 108], dtick=25
    )
    return figure


def label_curves(
    values: Sequence[float],
    shares: Array,
    source: int,
    class_names: Sequence[str],
    *,
    title: str,
    now: float,
) -> go.Figure:
    """Return the shares of predictions [T,K] along a path, with a line at `now`.

    Classes that are never predicted for 2 % of the images are left out.
    """
    figure = go.Figure()
    for k, name in enumerate(map(in_html, class_names)):
        if k != source and float(np.nan_to_num(shares[:, k]).max()) < 0.02:
            continue
        colour, dash, symbol = LINES[k % len(LINES)]
        if k == source:
            colour, dash = ROBUST, "solid"  # as its bar
        figure.add_scatter(
            name=f"{name} (label)" if k == source else name,
            x=list(values),
            y=[100 * float(share) for share in shares[:, k]],
            mode="lines+markers" if len(values) <= 30 else "lines",
            line={"color": colour, "dash": dash, "width": 4 if k == source else 2},
            marker={"symbol": symbol, "size": 7},
            hovertemplate="%{x:.3g}: %{y:.1f}\u00a0%<extra>" + name + "</extra>",
        )
    figure.add_vline(x=now, line={"color": NEUTRAL, "dash": "dot"})
    figure.update_layout(height=300, margin=MARGIN, legend=LEGEND, showlegend=True)
    figure.update_xaxes(title=title, rangemode="tozero")
    figure.update_yaxes(title="Share", range=[0, 103], ticksuffix="\u00a0%")
    return figure


def similarity_scatter(
    similarity: Array, shares: Array, class_names: Sequence[str], title: str
) -> go.Figure:
    """Return the confusion R_ij against the class similarity S_ij, one point for each i != j.

    The points with the largest confusion have names.
    """
    i, j = np.where(
        ~np.eye(len(shares), dtype=bool) & np.isfinite(similarity) & np.isfinite(shares)
    )
    x, y = similarity[i, j], 100 * shares[i, j]
    names = [in_html(f"{class_names[a]} → {class_names[b]}") for a, b in zip(i, j, strict=True)]
    figure = go.Figure()
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"color": ADVERSARIAL, "size": 8, "opacity": 0.7, "symbol": "diamond"},
        text=names,
        hovertemplate="%{text}<br>cosine %{x:.2f}, confused %{y:.1f}\u00a0%<extra></extra>",
    )
    for place in np.argsort(-y)[:NAMED]:
        if y[place] > 0:
            figure.add_annotation(
                x=float(x[place]), y=float(y[place]), text=names[place], showarrow=False, yshift=14
            )
    figure.update_layout(height=330, margin=MARGIN | {"t": 16}, showlegend=False)
    figure.update_xaxes(title=title)
    figure.update_yaxes(title="Confusion under attack", ticksuffix="\u00a0%", rangemode="tozero")
    return figure


def loss_surface(
    similarity: Array, loss: Array, best: tuple[float, float], own: tuple[Array, Array] | None
) -> go.Figure:
    """Return a contour map of the self-paced loss, with its optimum and the images of a model.

    Args:
        similarity: both axes [S].
        loss: [S,S], rows follow the label's similarity, columns that of all other classes.
        best: similarity of the label and of the others where the loss is lowest.
        own: cosine of the label and mean cosine of the others, of N images; None: not drawn.
    """
    figure, floor = go.Figure(), float(loss.min())
    figure.add_contour(
        x=similarity,
        y=similarity,
        z=loss,
        colorscale="Cividis",
        contours={"start": floor, "end": floor + SHOWN_NATS, "size": SHOWN_NATS / 20},
        zmin=floor,
        zmax=floor + SHOWN_NATS,
        line={"width": 0.5, "color": "rgba(255,255,255,0.35)"},
        colorbar={"title": {"text": "loss (nats)", "side": "right"}, "thickness": 14},
        hovertemplate="label %{y:.2f}, others %{x:.2f}<br>loss %{z:.3f}<extra></extra>",
    )
    if own is not None:
        figure.add_scatter(
            name="Images of this model",
            x=own[1],
            y=own[0],
            mode="markers",
            marker={"color": "white", "size": 4, "line": {"color": CLEAN, "width": 1}},
            hovertemplate="label %{y:.2f}, others %{x:.2f}<extra></extra>",
        )
    figure.add_scatter(
        name="Optimum",
        x=[best[1]],
        y=[best[0]],
        mode="markers",
        marker={
            "symbol": "star",
            "size": 18,
            "color": ADVERSARIAL,
            "line": {"color": "white", "width": 2},
        },
        hovertemplate="optimum: label %{y:.2f}, others %{x:.2f}<extra></extra>",
    )
    figure.update_layout(height=400, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title="Cosine of every other class")
    figure.update_yaxes(title="Cosine of the label")
    return figure


def logit_curves(similarity: Array, label: Array, wrong: Array, best: float) -> go.Figure:
    """Return the weighted logits u_y and u_j over the similarity [S], with the optimum of u_y."""
    figure = go.Figure()
    for name, values, colour, dash in (
        ("label", label, ROBUST, "solid"),
        ("other class", wrong, ADVERSARIAL, "dash"),
    ):
        figure.add_scatter(
            name=name,
            x=similarity,
            y=values,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 3},
            hovertemplate="cosine %{x:.2f}: %{y:.2f}<extra>" + name + "</extra>",
        )
    figure.add_vline(x=best, line={"color": NEUTRAL, "dash": "dot"})
    figure.add_annotation(
        x=best, y=0.02, yref="paper", text=f"{best:.2g}", showarrow=False, xanchor="right"
    )
    figure.update_layout(height=400, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title="Cosine z")
    figure.update_yaxes(title="Weighted logit u")
    return figure


def rank_bars(by_rank: Array) -> go.Figure:
    """Return the mean consistency term of the label and of the other classes, hardest first."""
    names = ["label", *(str(rank) for rank in range(1, len(by_rank)))]
    figure = go.Figure()
    figure.add_bar(
        x=names,
        y=by_rank,
        marker={"color": [ROBUST] + [ADVERSARIAL] * (len(by_rank) - 1)},
        hovertemplate="%{x}: %{y:.4f} nats<extra></extra>",
    )
    figure.update_layout(height=280, margin=MARGIN, showlegend=False, bargap=0.25)
    figure.update_xaxes(type="category", title="Other classes, most similar first")
    figure.update_yaxes(title="Mean t (nats)")
    return figure
