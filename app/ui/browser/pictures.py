"""A row of small pictures with captions, enlarged by a whole factor."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from app.ui.browser.assets import data_url, register

_render = register("pictures")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image x [C,H,W] in [0, 1] with title, caption (`words`) and alternative text.

    note: a second, fainter line. role: "clean", "adversarial" or empty; marks the title.
    """

    x: Tensor
    title: str
    words: str
    alt: str
    note: str = ""
    role: str = ""


def picture_row(
    pictures: Sequence[Picture], *, label: str, largest: int, key: str, columns: int = 1
) -> None:
    """Show pictures side by side, wrapped into lines.

    Args:
        pictures: the pictures.
        label: accessible name of the row.
        largest: largest width of a picture on the page, in pixels.
        key: of the component.
        columns: as many stand side by side where they do not become too small.
    """
    items = [
        {
            "src": data_url(picture.x.float().clamp(0.0, 1.0)),
            "width": picture.x.shape[2],
            "height": picture.x.shape[1],
            "title": picture.title,
            "words": picture.words,
            "note": picture.note,
            "alt": picture.alt,
            "role": picture.role,
        }
        for picture in pictures
    ]
    _render(key=key, data={"items": items, "label": label, "largest": largest, "columns": columns})
