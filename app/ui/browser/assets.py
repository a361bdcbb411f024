"""Reads the style and script of a components-v2 component from the files beside its module."""

from pathlib import Path

from streamlit.components import v2

FOLDER = Path(__file__).parent


def register(name: str):
    """Return the renderer of the component whose files are `<name>.css` and `<name>.js`."""
    return v2.component(
        f"robust_lab_{name}",
        html='<div class="root"></div>',
        css=(FOLDER / f"{name}.css").read_text(encoding="utf-8"),
        js=(FOLDER / f"{name}.js").read_text(encoding="utf-8"),
    )
