"""Pictures use the width there is, and on a phone they come before the controls."""

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

WIDE = ViewportSize(width=1920, height=1080)
PHONE = ViewportSize(width=390, height=844)
PICTURES = {
    "/compare": ".models img",
    "/gradients": ".grid img",
    "/retina": ".st-key-retina-steps img",
}


@pytest.mark.parametrize("path", PICTURES)
def test_pictures_use_the_width_and_come_first_on_a_phone(path: str, visit: Visitor):
    page = visit.page
    page.set_viewport_size(WIDE)
    visit.open(path)
    pictures = page.locator(PICTURES[path])
    expect(pictures.nth(1)).to_be_visible()
    widths = pictures.evaluate_all("all => all.map((one) => one.getBoundingClientRect().width)")
    assert min(widths) >= 200
    expect(page.get_by_role("button", name="Model and settings")).to_be_hidden()
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)
    first, controls = (
        pictures.first.bounding_box(),
        page.get_by_role("combobox", name="Model", exact=True).bounding_box(),
    )
    assert first is not None and controls is not None
    assert first["y"] < controls["y"] and first["width"] >= 64
    right = pictures.evaluate_all("all => all.map((one) => one.getBoundingClientRect().right)")
    assert max(right) <= PHONE["width"], "nothing is cut off"
    page.get_by_role("button", name="Model and settings").click()
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_be_in_viewport()
    visit.check()
