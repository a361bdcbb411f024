"""A button that copies the address of the current state of the page."""

from collections.abc import Mapping
from urllib.parse import urlencode

from app.ui.browser.assets import register

_render = register("copy_link")


def copy_link(state: Mapping[str, str], *, key: str) -> bool:
    """Show the button; return whether it was clicked just now.

    The browser copies the address; the page also puts it into the address bar.

    Args:
        state: query parameters of the page.
        key: of the component.
    """
    data = {"query": urlencode(state)}
    return bool(_render(key=key, data=data, on_copied_change=lambda: None).copied)
