"""Keys that press buttons of the page."""

from collections.abc import Mapping

from app.ui.browser.assets import key_class, register

_render = register("keys")


def keys_press(buttons: Mapping[str, str], *, key: str) -> None:
    """Let keys press buttons, but not where they move a slider, a choice or the cursor of a field.

    Args:
        buttons: name of a key, such as "ArrowRight", to the key of the button that it presses.
        key: of the component.
    """
    classes = {pressed: key_class(name) for pressed, name in buttons.items()}
    _render(key=key, data={"keys": classes})
