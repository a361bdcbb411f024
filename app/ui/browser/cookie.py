"""A value that a browser keeps, and sends with its next session."""

from app.ui.browser.assets import register

_render = register("cookie")


def keep_cookie(name: str, value: str, *, key: str, seconds: int | None = None) -> None:
    """Let the browser keep a value; `st.context.cookies` has it from its next session on.

    Args:
        name: of the cookie.
        value: letters, digits and any of -_.%=&; "" lets the browser forget the cookie.
        key: of the component.
        seconds: how long it is kept; None: until the browser is closed.
    """
    _render(key=key, data={"name": name, "value": value, "seconds": seconds})
