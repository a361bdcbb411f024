"""What the components-v2 components share: their style and script, read from files; pictures."""

import base64
import re
from pathlib import Path

from streamlit.components import v2
from torch import Tensor

from robust_core.data.images import encode_png

FOLDER = Path(__file__).parent


def register(name: str):
    """Return the renderer of the component `<name>.js`; what it draws is styled by `<name>.css`."""
    style = FOLDER / f"{name}.css"
    return v2.component(
        f"robust_lab_{name}",
        html='<div class="root"></div>',
        css=style.read_text(encoding="utf-8") if style.is_file() else None,
        js=(FOLDER / f"{name}.js").read_text(encoding="utf-8"),
    )


def key_class(key: str) -> str:
    """Return the class that Streamlit gives to an element with a key."""
    return "st-key-" + re.sub(r"[^a-zA-Z0-9_-]", "-", key)


def data_url(x: Tensor) -> str:
    """Return an image [C,H,W] in [0, 1] as a PNG that an `img` element can show."""
    return "data:image/png;base64," + base64.b64encode(encode_png(x)).decode()
