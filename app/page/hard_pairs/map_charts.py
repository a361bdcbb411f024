"""Matrices of the page Hard pairs: arrays in, figure out; knows neither torch nor streamlit.

They are altair charts, because a plotly heat map does not report clicks on its cells.
"""

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from app.ui.charts import ADVERSARIAL, CLEAN
from app.ui.pictures import enlarged
from app.ui.units import PER_CENT

SELECTION = "cell"  # name of the selection in a chart
MASKED = "#8a94a3"
CHOSEN = ADVERSARIAL  # the frame of a cell
MOST_WRITTEN = 14  # most classes for which every cell shows its share
DIVERGING = "blueorange"
DIVERGING_COLOURS = [[0.0, CLEAN], [0.5, "#f3f3f3"], [1.0, ADVERSARIAL]]

Array = NDArray[np.float32]


def confusion_map(
    shares: Array,
    counts: NDArray[np.int64] | None,
    class_names: Sequence[str],
    *,
    signed: bool = False,
    chosen: tuple[int, int] | None = None,
    high: float | None = None,
    columns: str = "Predicted",
) -> alt.LayerChart:
    """Return a confusion matrix of shares [K,K], rows the labels; a click selects a cell.

    The diagonal is masked, so that the errors stand out. Signed shares diverge around 0.

    Args:
        shares: [K,K] in [0, 1], signed ones in [-1, 1]; NaN in rows without an image.
        counts: images in each cell [K,K], for the tooltip; None: not shown.
        class_names: K names.
        signed: whether the shares are differences.
        chosen: the selected cell (label, predicted), framed; None: cells cannot be clicked.
        high: end of the colour scale; None: the largest share off the diagonal.
        columns: title of the columns.
    """
    high = largest_error(shares) if high is None else high
    scale = (
        alt.Scale(scheme=DIVERGING, domain=[-high, high], domainMid=0)
        if signed
        else alt.Scale(scheme="cividis", domain=[0, high])
    )

    def light(share: float) -> bool:
        return abs(share) < 0.6 * high if signed else share > 0.55 * high

    cells = [
        cell | {"words": _share_words(cell["value"], signed), "ink": _ink(cell, light)}
        for cell in _cells(shares, class_names, counts, chosen)
    ]
    return _class_map(
        cells,
        class_names,
        scale,
        what="share",
        number="+.0f" if signed else ".0f",
        shares=True,
        columns=columns,
        with_images=counts is not None,
        clickable=chosen is not None,
    )


def weight_map(weights: Array, class_names: Sequence[str]) -> alt.LayerChart:
    """Return a matrix of mean weights [K,K], rows the labels; the label's own weight is masked."""
    off = weights[~np.eye(len(weights), dtype=bool) & np.isfinite(weights)]
    low, high = (float(off.min()), float(off.max())) if len(off) else (0.0, 1.0)

    def light(weight: float) -> bool:
        return weight > low + 0.55 * (high - low)

    cells = [
        cell
        | {
            "words": "" if cell["value"] is None else f"{cell['value']:.2f}",
            "ink": _ink(cell, light),
        }
        for cell in _cells(weights, class_names, None, None)
    ]
    scale = alt.Scale(scheme="cividis", domain=[low, high])
    return _class_map(cells, class_names, scale, what="weight", number=".2f", columns="Other class")


def cosine_map(cosines: Array, class_names: Sequence[str], *, columns: str) -> alt.LayerChart:
    """Return a matrix of cosines [K,K] that diverges around 0, its diagonal masked.

    Cells show 100 times the cosine, to save space.

    Args:
        cosines: [K,K] in [-1, 1]; NaN is grey.
        class_names: K names.
        columns: title of the columns.
    """
    off = np.abs(cosines[~np.eye(len(cosines), dtype=bool) & np.isfinite(cosines)])
    high = max(0.05, float(off.max())) if len(off) else 1.0

    def light(cosine: float) -> bool:
        return abs(cosine) < 0.6 * high

    cells = [
        cell
        | {
            "words": "" if cell["value"] is None else f"{100 * cell['value']:+z.0f}",
            "ink": _ink(cell, light),
            # altair draws no cell without a value, not even a masked one
            "value": 0.0
            if cell["value"] is None and cell["label"] == cell["predicted"]
            else cell["value"],
        }
        for cell in _cells(cosines, class_names, None, None)
    ]
    scale = alt.Scale(scheme=DIVERGING, domain=[-high, high], domainMid=0)
    return _class_map(cells, class_names, scale, what="cosine", number="+.2f", columns=columns)


def largest_error(shares: Array) -> float:
    """Return the largest magnitude off the diagonal, rounded up to a multiple of 0.05."""
    off = np.abs(np.nan_to_num(shares)) * (1.0 - np.eye(len(shares)))
    return max(0.05, float(np.ceil(off.max() * 20 - 1e-6) / 20))


def map_pixels(shares: Array, *, signed: bool, side: int = 24) -> NDArray[np.uint8]:
    """Return the matrix as a picture [K side, K side, 3] for download, its diagonal masked."""
    high = largest_error(shares)
    places = np.nan_to_num(shares) / high
    places = np.clip((places + 1) / 2 if signed else places, 0, 1)
    colours = sample_colorscale(
        DIVERGING_COLOURS if signed else "Cividis", places.ravel().tolist(), colortype="tuple"
    )
    pixels = np.array(colours).reshape(*shares.shape, 3)
    masked = np.eye(len(shares), dtype=bool) | np.isnan(shares)
    pixels[masked] = np.array([0x8A, 0x94, 0xA3]) / 255
    whole = (255 * pixels).round().astype(np.uint8)
    return enlarged(whole, side)


def _cells(
    values: Array,
    class_names: Sequence[str],
    counts: NDArray[np.int64] | None,
    chosen: tuple[int, int] | None,
) -> list[dict[str, Any]]:
    """Return one row per cell; values that are not finite become None."""
    return [
        {
            "label": class_names[i],
            "predicted": class_names[j],
            "value": float(values[i, j]) if np.isfinite(values[i, j]) else None,
            "images": None if counts is None else int(counts[i, j]),
            "chosen": (i, j) == chosen,
        }
        for i in range(len(class_names))
        for j in range(len(class_names))
    ]


def _class_map(
    cells: list[dict[str, Any]],
    class_names: Sequence[str],
    scale: alt.Scale,
    *,
    what: str,
    number: str,
    shares: bool = False,
    columns: str = "Predicted",
    with_images: bool = False,
    clickable: bool = False,
) -> alt.LayerChart:
    """Return the matrix of `cells`, each with its text and text colour, in the order of classes."""
    value = f"format({'100 * ' * shares}datum.value, '{number}')" + f" + '{PER_CENT}'" * shares
    told = f"isValid(datum.value) ? {value} : ''"
    base = alt.Chart(alt.Data(values=cells)).transform_calculate(told=told)
    base = base.encode(
        x=alt.X(
            "predicted:N",
            title=columns,
            sort=list(class_names),
            axis=alt.Axis(orient="top", labelAngle=-45 if max(map(len, class_names)) > 3 else 0),
        ),
        y=alt.Y("label:N", title="Labelled", sort=list(class_names)),
    )
    tips = [
        alt.Tooltip("label:N", title="labelled"),
        alt.Tooltip("predicted:N", title=columns.lower()),
        alt.Tooltip("told:N", title=what),
    ]
    if with_images:
        tips.append(alt.Tooltip("images:Q"))
    cursor = "pointer" if clickable else "default"
    rectangles = base.mark_rect(cursor=cursor, strokeWidth=3).encode(
        color=alt.condition(
            "datum.label === datum.predicted || !isValid(datum.value)",
            alt.value(MASKED),
            alt.Color("value:Q", scale=scale, legend=alt.Legend(labelExpr=value, title=None)),
        ),
        stroke=alt.condition("datum.chosen", alt.value(CHOSEN), alt.value("transparent")),
        tooltip=tips,
    )
    if clickable:
        select = alt.selection_point(name=SELECTION, fields=["label", "predicted"], empty=False)
        rectangles = rectangles.add_params(select)
    layers: list[alt.Chart] = [rectangles]
    if len(class_names) <= MOST_WRITTEN:
        ink = alt.Color("ink:N", scale=None, legend=None)
        layers.append(base.mark_text(fontSize=12, cursor=cursor).encode(text="words:N", color=ink))
    chart = alt.layer(*layers).resolve_scale(color="independent").properties(height=400)
    assert isinstance(chart, alt.LayerChart), "there are no facets"
    return chart


def _share_words(share: float | None, signed: bool) -> str:
    if share is None or abs(share) < 0.005:
        return ""
    return f"{100 * share:+.0f}" if signed else f"{100 * share:.0f}"


def _ink(cell: dict[str, Any], light: Callable[[float], bool]) -> str:
    """Return the text colour: black on light and masked cells, white on dark ones."""
    value = cell["value"]
    if value is None or cell["label"] == cell["predicted"]:
        return "black"
    return "black" if light(value) else "white"
