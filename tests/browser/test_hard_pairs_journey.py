"""The page Hard pairs: from a cell of the matrix to the page Attack; the gradient; two models."""

import csv
import io
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
ATTACKING = 120_000  # milliseconds; a busy machine takes long
CLICKS = 3  # a chart that is just being drawn hears no click
PLAN = "model=digits-standard&num_images=60&num_steps=5&epsilon=0.1&norm=Linf"

OTHER = "digits-mart"


def show_what_is_behind(visitor: Visitor, name: str) -> None:
    """Press a button if there is one: what it computes may be known to the server or be cheap."""
    button = visitor.page.get_by_role("button", name=name)
    if button.count():
        button.click()
        visitor.settle()


def test_a_cell_of_the_map_leads_to_its_images_and_on_to_the_attack(visit: Visitor) -> None:
    page = visit.page
    visit.open(f"/hard_pairs?{PLAN}&labelled=0&predicted=0")
    if not page.get_by_test_id("stVegaLiteChart").count():  # a slow machine begins empty
        page.get_by_role("button", name="Run attack").click()
    chart = page.get_by_test_id("stVegaLiteChart")
    expect(chart).to_be_visible(timeout=ATTACKING)
    visit.settle()
    predicted = page.get_by_role("combobox", name="Predicted")
    expect(predicted).to_have_value("0")

    fooled = chart.get_by_label(re.compile(r"^Predicted: 8; Labelled: 1; .* images: [1-9]"))
    for _ in range(CLICKS):
        fooled.first.click()
        visit.settle()
        if predicted.input_value() == "8":
            break
    expect(predicted).to_have_value("8")
    visit.settle()
    expect(page.get_by_text("are predicted as 8 under attack")).to_be_visible()
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


def test_the_gradient_view_is_measured_and_a_second_model_compared(visit: Visitor) -> None:
    page = visit.page
    visit.open(f"/hard_pairs?{PLAN}&view=Gradient&other={OTHER}")
    page.get_by_role("button", name="Run attack").click()
    visit.settle()
    expect(
        page.get_by_test_id("stMetric").filter(has_text="Gradient share of hardest class")
    ).to_be_visible()
    show_what_is_behind(visit, "Measure alignment of perturbations")
    expect(page.get_by_text(re.compile(r"^\d+ of \d+ classes$"))).to_be_visible()
    charts = page.get_by_test_id("stVegaLiteChart")
    expect(charts).to_have_count(3)  # gradient share, alignment and similarity of perturbations

    page.get_by_role("radio", name="Two models", exact=True).click()
    visit.settle()
    show_what_is_behind(visit, f"Attack {OTHER}")
    expect(page.get_by_text("exact McNemar test")).to_be_visible(timeout=ATTACKING)
    for name in ("digits-standard", OTHER, "Difference"):
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(charts).to_have_count(3)
    with page.expect_download() as caught:
        page.get_by_role("button", name="All pairs, CSV").click()
    rows = list(csv.DictReader(io.StringIO(caught.value.path().read_text(encoding="utf-8"))))
    changes = [float(row["Change"]) for row in rows]
    for row, change in zip(rows, changes, strict=True):
        assert change == pytest.approx(float(row["Second"]) - float(row["First"]), abs=1e-4)
    assert abs(changes[0]) == max(map(abs, changes)) > 0  # the models differ

    page.get_by_role("button", name="Copy link").click()
    visit.settle()
    expect(page).to_have_url(re.compile(f"other={OTHER}.*view=Two|view=Two.*other={OTHER}"))
    page.reload()
    visit.settle()
    expect(page.get_by_text("exact McNemar test")).to_be_visible()
    visit.check()
