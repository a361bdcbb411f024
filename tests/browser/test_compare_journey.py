from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.app.examples import ROBUST, STANDARD, telling_image
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser


def test_a_visitor_compares_two_models_and_takes_the_link_along(visit: Visitor):
    image = telling_image()[0]
    query = {"model": STANDARD, "with": ROBUST, "image": image, "attack": "pgd", "num_steps": 10}
    page, sent = visit.page, []
    page.on(
        "websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(len(frame)))
    )
    visit.open("/compare?" + urlencode(query))
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
    run = page.get_by_role("button", name="Run attack on all", exact=True)
    if run.count():  # a fast machine computes it at once
        run.click()
        visit.settle()
    expect(page.get_by_text("PGD fools the standard model")).to_be_visible()
    expect(page.get_by_text("the robust model resists PGD")).to_be_visible()
    step = page.get_by_role("slider", name="Step of the attack")
    words = page.locator("output")
    expect(words).to_have_text("recorded step 10 of 10")
    before = len(sent)
    step.focus()
    step.press("Home")
    expect(words).to_have_text("recorded step 0 of 10")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(step).to_have_value("10")
    assert len(sent) == before > 0, "stepping and playing need no server"
    expect(page.locator(".js-plotly-plot .heatmaplayer")).to_have_count(1)
    page.get_by_role("button", name="Measure transfer").click()
    visit.settle()
    expect(page.get_by_text("a sample of 16 test images")).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    visit.settle()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert f"with={ROBUST}" in copied and "sample=16" in copied and "num_steps=10" in copied
    visit.check()
