"""A link over a row of controls, for keyboards: it is seen while it has the focus, or always."""

from app.ui.browser.assets import key_class, register

_render = register("skip_link")


def skip_link(words: str, *, to: str, key: str, seen: bool = False) -> None:
    """Draw the link.

    Args:
        words: of the link.
        to: key of the container that gets the focus.
        key: of the component.
        seen: also without the focus.
    """
    _render(key=key, data={"words": words, "to": key_class(to), "seen": seen})
