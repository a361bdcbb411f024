"""A row of small pictures with words under each, enlarged by a whole number."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from app.ui.browser.assets import register
from app.ui.browser.player import data_url

_render = register("pictures")


@dataclass(frozen=True, eq=False)
class Picture:
    """x [C,H,W] in [0, 1], its title, a line of words, and the text that stands for it.

    note: a second, fainter line. role: "clean", "adversarial" or empty, for the mark at the title.
    """

    x: Tensor
    title: str
    words: str
    alt: str
    note: str = ""
    role: str = ""


def picture_row(pictures: Sequence[Picture], *, label: str, largest: int, key: str) -> None:
    """Show pictures side by side, in as many lines as it takes.

    Args:
        pictures: what to show.
        label: of the whole row.
        largest: width of a picture on the page, at most, in pixels.
        key: of the component.
    """
    items = [
        {
            "src": data_url(picture.x.float().clamp(0.0, 1.0).numpy()),
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
    _render(key=key, data={"items": items, "label": label, "largest": largest})
