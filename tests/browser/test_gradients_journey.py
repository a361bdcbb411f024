from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.app.examples import ROBUST, STANDARD, telling_image
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser


def test_a_visitor_goes_from_gradients_to_a_morph_and_takes_the_link_along(visit: Visitor):
    query = {"model": ROBUST, "with": STANDARD, "image": telling_image()[0]}
    visit.open("/gradients?" + urlencode(query))
    page = visit.page
    expect(page.get_by_role("heading", name="Gradients", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name="The image")).to_be_visible()
    expect(page.get_by_role("img", name="pgd_at, 3", exact=True)).to_be_visible()
    page.get_by_role("radio", name="Targets").click()
    visit.settle()
    expect(page.locator("[data-testid=stMetric]")).to_have_count(2)
    page.get_by_role("radio", name="Class morph").click()
    visit.settle()
    morph = page.get_by_role("button", name="Morph", exact=True)
    if morph.count():  # a fast machine computes it at once
        morph.click()
        visit.settle()
    expect(page.get_by_role("img", name="standard, 3", exact=True)).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    visit.settle()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "view=morph" in copied and "epsilon=6.0" in copied and f"with={STANDARD}" in copied
    visit.check()
