"""A link for keyboards over a row of controls; it is seen while it has the focus."""

from app.ui.browser.assets import key_class, register

_render = register("skip_link")


def skip_link(words: str, *, to: str, key: str) -> None:
    """Draw the link.

    Args:
        words: of the link.
        to: key of the container that gets the focus.
        key: of the component.
    """
    _render(key=key, data={"words": words, "to": key_class(to)})
