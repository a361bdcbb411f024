import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.app.examples import ATTACK, STANDARD, telling_image
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser


def test_a_lasso_shows_images_and_one_of_them_opens_on_the_attack_page(visit: Visitor):
    image, _ = telling_image()
    query = {"model": STANDARD, "image": image, "attack": "pgd", "images": 60} | ATTACK
    visit.open("/latent?" + urlencode(query))
    page = visit.page
    run = page.get_by_role("button", name="Map the features")
    expect(run).to_be_visible()
    run.click()  # a fast machine computes it at once
    visit.settle()
    expect(page.get_by_text("PGD lowers the accuracy from")).to_be_visible()
    plot = page.locator(".js-plotly-plot").first
    expect(plot.locator(".scatterlayer .trace")).to_have_count(3)
    plot.locator("[data-title='Lasso Select']").click()
    box = plot.locator(".nsewdrag").first.bounding_box()
    assert box is not None
    left, top = box["x"] + 4, box["y"] + 4
    right, bottom = left + box["width"] - 8, top + box["height"] - 8
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 2)):
        page.mouse.move(x, y, steps=6)
    page.mouse.up()
    visit.settle()
    expect(page.get_by_text(re.compile(r"\d+ points, \d+ of them misclassified"))).to_be_visible()
    expect(
        page.locator(".st-key-latent\\.selected img, .st-key-latent-selected img")
    ).to_have_count(24)
    page.reload()
    visit.settle()
    point = plot.locator(".scatterlayer .trace").nth(0).locator(".point").nth(5)
    point.hover(force=True)
    page.wait_for_timeout(300)  # the chart knows what lies under the mouse a little later
    page.mouse.down()
    page.mouse.up()
    visit.settle()
    page.get_by_role("button", name="Open in", exact=False).first.click()
    page.get_by_role("option").or_(page.get_by_role("menuitem")).filter(has_text="Attack").click()
    visit.settle()
    expect(page.get_by_role("heading", name="Attack", exact=True)).to_be_visible()
    expect(page.get_by_test_id("stAlert").first).to_be_visible()  # fooled, resists, or wrong before
    visit.check()
