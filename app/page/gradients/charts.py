"""Figures of the page Gradients: grids of small pictures, alignment scatter and table.

Arrays in, plotly figure out; knows neither torch nor streamlit.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.ui.charts import MARGIN, ROBUST
from app.ui.pictures import GAP, mosaic, smaller
from app.ui.plain import in_html

Array = NDArray[np.float32]
CAPTION_GAP = 8  # below a tile with a caption
LINE, LETTERS = 16, 10  # of a column's name: height in pixels, length in letters
TILE = 68  # smallest size of a tile on the screen, in pixels
PERCENTILE = 98
SIGNED = {  # negative, zero, positive; zero is the page itself
    "light": ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b"),
    "dark": ("#6fb7ff", "#2f5d8c", "#191e26", "#8c3b32", "#ff8a70"),
}
INK = {"light": "#1b2330", "dark": "#e6eaf0"}
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star", "hexagon")
SYMBOLS += tuple(f"{symbol}-open" for symbol in SYMBOLS)


@dataclass(frozen=True)
class Words:
    """The texts of a grid: names of its rows and columns, and a caption under each tile."""

    rows: Sequence[str]
    columns: Sequence[str]
    tiles: Sequence[Sequence[str]] | None = None


def shared_limit(values: Array) -> float:
    """Return the limit of a symmetric scale: the 98th percentile of |values|, or 1 if that is 0."""
    found = float(np.percentile(np.abs(values), PERCENTILE))
    return found if found > 0 else 1.0


def signed_grid(tiles: Array, words: Words, limit: float, theme: str, unit: str) -> go.Figure:
    """Return signed maps [R,K,H,W] on one diverging scale from -limit to limit, with colour bar."""
    tiles = smaller(tiles)
    gap = _gap(tiles, words)
    colours = SIGNED[theme]
    figure = go.Figure()
    figure.add_heatmap(
        z=mosaic(tiles, gap),
        zmin=-limit,
        zmax=limit,
        colorscale=[[i / 4, colour] for i, colour in enumerate(colours)],
        colorbar={"title": {"text": unit, "side": "top"}, "thickness": 12, "exponentformat": "e"},
        hoverongaps=False,
        hovertemplate="%{z:.3g}<extra></extra>",
    )
    return _framed(figure, tiles.shape, words, gap)


def picture_grid(tiles: Array, words: Words) -> go.Figure:
    """Return pictures [R,K,H,W,C] in [0, 1], C 1 or 3, never smoothed."""
    tiles = smaller(tiles)
    gap = _gap(tiles, words)
    sheet = mosaic(tiles, gap)
    there = ~np.isnan(sheet[..., :1])
    levels = (255 * np.nan_to_num(sheet)).round().clip(0, 255)
    colours = np.repeat(levels, 3, axis=2) if sheet.shape[2] == 1 else levels
    figure = go.Figure()
    figure.add_image(
        z=np.concatenate([colours, 255 * there], axis=2).astype(np.uint8),
        colormodel="rgba256",
        hoverinfo="skip",
    )
    return _framed(figure, tiles.shape, words, gap)


def signed_colours(tiles: Array, limit: float) -> Array:
    """Return signed maps [R,K,H,W] in the colours of the light theme: [R,K,H,W,3] in [0, 1]."""
    stops = np.array(
        [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in SIGNED["light"]]
    )
    place = (np.clip(tiles / limit, -1, 1) + 1) / 2
    knots = np.linspace(0, 1, len(stops))
    bands = [np.interp(place, knots, stops[:, band]) for band in range(3)]
    return (np.stack(bands, axis=-1) / 255).astype(np.float32)


def alignment_scatter(
    names: Sequence[str], alignments: Sequence[float], robust: Sequence[float], words: Sequence[str]
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
            x=[alignments[number]],
            y=[100 * robust[number]],
            mode="markers",
            cliponaxis=False,
            marker={"size": 13, "color": ROBUST, "symbol": SYMBOLS[number % len(SYMBOLS)]},
            hovertemplate=f"{in_html(name)}<br>alignment %{{x:.3f}}<br>%{{y:.1f}} % under "
            f"{in_html(words[number])}<extra></extra>",
        )
    figure.update_layout(height=380, margin=MARGIN | {"t": 24}, showlegend=True)
    figure.update_xaxes(title="Alignment (mean cosine with the target)")
    figure.update_yaxes(title="Robust accuracy", range=[-4, 110], ticksuffix=" %")
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


def _gap(tiles: Array, words: Words) -> int:
    """Return the pixels of the tiles below each: a quarter of a tile where a caption stands."""
    return GAP if words.tiles is None else max(CAPTION_GAP, tiles.shape[2] // 4)


def _framed(figure: go.Figure, shape: tuple[int, ...], words: Words, gap: int) -> go.Figure:
    """Add row and column names and captions to a grid, and set its size."""
    rows, columns, height, width = shape[:4]
    middles = [column * (width + GAP) + (width - 1) / 2 for column in range(columns)]
    names = ["<br>".join(map(in_html, _lines(name))) for name in words.columns]
    heights = [row * (height + gap) + (height - 1) / 2 for row in range(rows)]
    figure.update_xaxes(
        tickvals=middles,
        ticktext=names,
        side="top",
        showgrid=False,
        zeroline=False,
        ticks="",
        range=[-1, columns * (width + GAP)],
        constrain="domain",
        tickangle=0,
    )
    figure.update_yaxes(
        tickvals=heights,
        ticktext=[in_html(name).replace(" ", "<br>", 1) for name in words.rows],
        showgrid=False,
        zeroline=False,
        ticks="",
        range=[rows * (height + gap), -1],
        scaleanchor="x",
        constrain="domain",
        ticksuffix="  ",
    )
    if words.tiles is not None:
        figure.add_scatter(
            x=[x for _ in heights for x in middles],
            y=[y + height / 2 + gap / 2 - 0.5 for y in heights for _ in middles],
            text=[in_html(text) for row in words.tiles for text in row],
            mode="text",
            textfont={"size": 11},  # the page's ink, which follows a change of theme
            hoverinfo="skip",
            showlegend=False,
        )
    above = 24 + LINE * max(len(_lines(name)) for name in words.columns)
    tall = rows * TILE * (height + gap) / height
    figure.update_layout(
        height=round(tall * max(1.0, min(2.2, 11 / columns)) + 30 + above),
        margin=MARGIN | {"t": above},
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode=False,
    )
    return figure


def _lines(name: str) -> list[str]:
    return textwrap.wrap(name, LETTERS, break_long_words=False) or [""]
