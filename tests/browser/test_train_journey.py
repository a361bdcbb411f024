"""From the form to a model of one's own: watched, stopped, resumed, reloaded, attacked."""

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import Known, new_violations
from tests.browser.conftest import PATIENCE, Server, Visitor, set_number

pytestmark = pytest.mark.browser
EPOCHS = 30  # enough to be stopped in time on a fast machine
TRAINING = 120_000  # milliseconds; a busy machine takes long


def button(page: Page, name: str) -> Locator:
    """A button of the page itself: while a page runs, Streamlit's header has a Stop of its own."""
    return page.get_by_test_id("stMainBlockContainer").get_by_role("button", name=name, exact=True)


def click(page: Page, name: str) -> None:
    button(page, name).click()


def wait_for_epochs(page: Page, more_than: int) -> int:
    """Wait until the page tells of more complete epochs; return how many."""
    seen = 0
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        words = page.locator("[data-testid=stMain]").inner_text()
        found = re.search(r"After epoch (\d+), on", words)
        seen = int(found.group(1)) if found else 0
        if seen > more_than:
            return seen
        page.wait_for_timeout(100)
    raise AssertionError(f"{seen} complete epochs on the page, expected more than {more_than}")


def test_a_training_is_watched_stopped_resumed_and_its_model_attacked(
    visitor: Visitor, server: Server, plain: Known
) -> None:
    page = visitor.page
    visitor.open("/train")
    page.get_by_text("All settings").click()
    set_number(visitor, "Epochs", EPOCHS)
    set_number(visitor, "Width", 4)
    set_number(visitor, "Number of steps", 1)
    click(page, "Start training")
    wait_for_epochs(page, 0)

    click(page, "Stop")
    expect(button(page, "Resume")).to_be_visible()
    stopped = wait_for_epochs(page, 0)
    assert stopped < EPOCHS
    expect(page.get_by_role("radio").first).to_be_checked()

    click(page, "Resume")
    expect(button(page, "Stop")).to_be_visible()
    expect(page).to_have_url(re.compile(r"run=digits-pgd_at-"))
    address = page.url.removeprefix(server.address)

    page.goto("about:blank")
    server.stop()  # the training goes on without the dashboard
    server.start()
    visitor.address = server.address
    visitor.open(address)
    wait_for_epochs(page, stopped)
    second_tab = page.context.new_page()
    second_tab.goto(server.address + address)
    wait_for_epochs(second_tab, stopped)
    second_tab.close()
    card = page.get_by_text(re.compile(r"clean accuracy, 360 test images"))
    expect(card).to_be_visible(timeout=TRAINING)
    expect(page.get_by_text(f"Epoch {EPOCHS} of {EPOCHS} complete")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    expect(page.get_by_text(f"finished, {EPOCHS}/{EPOCHS}")).to_be_visible()
    assert new_violations(page, "light", plain) == []

    page.reload()
    expect(page.get_by_text(f"Epoch {EPOCHS} of {EPOCHS} complete")).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("link", name="Attack").click()
    expect(page.get_by_role("heading", name="Attack", exact=True)).to_be_visible()
    model = page.get_by_role("combobox", name="Model")
    expect(model).to_have_value(re.compile("runs/digits-pgd_at-"))
    expect(page.get_by_text("Confidence in").first).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
