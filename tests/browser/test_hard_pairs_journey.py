"""From the attack on all images to a cell of the map, to one of its images on the page Attack."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
ATTACKING = 120_000  # milliseconds; a busy machine takes long
CLICKS = 3  # a chart that is just being drawn hears no click
PLAN = "model=digits-standard&num_images=60&num_steps=5&epsilon=0.1&norm=Linf"


def test_a_cell_of_the_map_leads_to_its_images_and_on_to_the_attack(visit: Visitor) -> None:
    page = visit.page
    visit.open(f"/hard_pairs?{PLAN}&labelled=0&predicted=0")
    expect(page.get_by_text("the map of who is taken for whom")).to_be_visible()
    page.get_by_role("button", name="Run attack").click()
    chart = page.get_by_test_id("stVegaLiteChart")
    expect(chart).to_be_visible(timeout=ATTACKING)
    visit.settle()
    predicted = page.get_by_role("combobox", name="Predicted")
    expect(predicted).to_have_value("0")

    fallen = chart.get_by_label(re.compile(r"^Predicted: 8; Labelled: 1; .* images: [1-9]"))
    for _ in range(CLICKS):
        fallen.first.click()
        visit.settle()
        if predicted.input_value() == "8":
            break
    expect(predicted).to_have_value("8")
    visit.settle()
    expect(page.get_by_text("become 8 under attack")).to_be_visible()
    page.get_by_text("Difference", exact=True).click()  # the cell stays
    visit.settle()
    expect(predicted).to_have_value("8")

    opened = page.get_by_role("link", name=re.compile("→")).first
    expect(opened).to_be_visible()
    opened.click()
    expect(page.get_by_role("heading", name="Attack", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("image=digits%2Ftest%2F"))
    expect(page.get_by_test_id("stAlert").first).to_be_visible()
    visit.check()
