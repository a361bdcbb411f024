"""Open a page of the dashboard, press its buttons and read what it says, without a browser."""

import json
from collections.abc import Mapping
from typing import Any

from streamlit.testing.v1 import AppTest

from app.navigation import page_script
from robust_core.paths import REPOSITORY

MAIN = REPOSITORY / "app" / "main.py"


def open_view(
    view: str = "", query: Mapping[str, object] | None = None, timeout: float = 30
) -> AppTest:
    """Return the page called `view` as the address with `query` shows it.

    Without a view it is what a visitor sees who opens the dashboard by its bare address. A run
    of the page, this one and every later one, takes `timeout` seconds at most.
    """
    page = AppTest.from_file(str(MAIN), default_timeout=timeout)
    if view:
        page.switch_page(page_script(view))
    page.query_params.update({name: str(value) for name, value in (query or {}).items()})
    return check(page.run())


def check(page: AppTest) -> AppTest:
    """Return the page, which has raised nothing, and all of whose axes say what they show."""
    raised = ["\n".join([one.message, *one.stack_trace]) for one in page.exception]
    assert not raised, "\n\n".join(raised)
    for chart in page.get("plotly_chart"):
        assert not untitled_axes(json.loads(chart.proto.spec)), chart.proto.id
    return page


def untitled_axes(figure: Mapping[str, Any]) -> list[str]:
    """Return the names of a figure's visible axes without a title."""
    layout = figure["layout"]
    flat = [one for one in figure["data"] if "3d" not in one["type"] and one["type"] != "surface"]
    names = {f"{side}axis" for side in "xy" if flat}
    names |= {name for name in layout if name.startswith(("xaxis", "yaxis"))}
    axes = {name: layout.get(name, {}) for name in names}
    if len(flat) < len(figure["data"]):
        axes = {f"{side}axis": layout["scene"].get(f"{side}axis", {}) for side in "xyz"}
    return sorted(
        name
        for name, axis in axes.items()
        if axis.get("visible", True) and not axis.get("title", {}).get("text")
    )


def check_no_error(page: AppTest) -> AppTest:
    """Return the page, which has neither raised anything nor shows an error."""
    errors = [error.value for error in check(page).error]
    assert not errors, errors
    return page


def press(page: AppTest, label: str) -> AppTest:
    """Press the first button with this label."""
    assert label in labels(page), f"no button {label!r} among {labels(page)}"
    return check(next(one for one in page.button if one.label == label).click().run())


def press_where_needed(page: AppTest, label: str) -> AppTest:
    """Press a button that is there only where the machine is so slow that work waits for it."""
    return check_no_error(press(page, label) if label in labels(page) else page)


def labels(page: AppTest) -> list[str]:
    """What is written on the buttons."""
    return [button.label for button in page.button]


def said(page: AppTest) -> str:
    """The words of the page: its text, captions and boxes, kind by kind."""
    kinds = (page.markdown, page.caption, page.info, page.warning, page.error, page.success)
    return "\n".join(str(element.value) for kind in kinds for element in kind)
