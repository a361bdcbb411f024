"""A grid of small pictures: classes in columns, models in rows, as wide as there is room."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.page.gradients import charts
from app.page.gradients.controls import theme
from app.ui.browser.assets import data_url, register
from app.ui.pictures import smaller

LARGEST = 128  # sides of a picture that is sent to the browser
_render = register("gradient_tiles")


@dataclass(frozen=True)
class Words:
    """The texts of a grid: names of its rows and columns, and a caption under each tile."""

    rows: Sequence[str]
    columns: Sequence[str]
    tiles: Sequence[Sequence[str]] | None = None


@dataclass(frozen=True)
class Scale:
    """What the colours of signed maps mean: zero is in the middle, `limit` at both ends."""

    limit: float
    unit: str


def tile_grid(
    tiles: charts.Array,
    words: Words,
    *,
    image: Tensor | None,
    label: str,
    key: str,
    scale: Scale | None = None,
) -> None:
    """Show pictures, never smoothed, beside the image that they are about.

    Args:
        tiles: signed maps [R,K,H,W], or, without a scale, pictures [R,K,H,W,C] in [0, 1]. A tile
            of NaN stays empty.
        words: its texts.
        image: [C,H,W] in [0, 1], stands beside the grid; None: nothing does.
        label: accessible name of the whole.
        key: of the component.
        scale: of signed maps.
    """
    tiles = smaller(tiles, LARGEST)
    pictures = tiles if scale is None else charts.signed_colours(tiles, scale.limit, theme())
    columns = [
        {
            "name": name,
            "tiles": [
                {
                    "name": row if len(words.rows) > 1 else "",
                    "words": "" if words.tiles is None else words.tiles[number][column],
                    "src": _source(pictures[number, column]),
                    "alt": f"{row}, {name}",
                }
                for number, row in enumerate(words.rows)
            ],
        }
        for column, name in enumerate(words.columns)
    ]
    legend = None
    if scale is not None:
        limit, colours = f"{scale.limit:.2g}", list(charts.SIGNED[theme()])
        legend = {"low": f"−{limit}", "high": f"+{limit}", "unit": scale.unit, "colours": colours}
    shown = None if image is None else data_url(image)
    data = {"image": shown, "columns": columns, "label": label, "legend": legend}
    _render(key=key, data=data)


def _source(picture: charts.Array) -> str | None:
    """Return a picture [H,W,C] for an `img` element; None where there is none."""
    if np.isnan(picture).any():
        return None
    return data_url(torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).clamp(0, 1))
