"""From the form to numbers with a badge, to the images behind them, and out as files."""

import csv
import io
import json
import re

import pytest
from playwright.sync_api import Page, expect

from app.page.robustness.results import ROW_HEIGHT
from app.ui.finding_words import SEVERITY_WORDS
from tests.browser.axe import Known, new_violations
from tests.browser.conftest import Visitor, set_number

pytestmark = pytest.mark.browser
MODEL = "digits-standard"
SEVERITIES = "|".join(SEVERITY_WORDS.values())
EVALUATING = 240_000  # milliseconds; a busy machine takes long
HEADER = 35  # pixels of the table
PGD = 1  # its row: the one above is the clean accuracy


def download(page: Page, name: str) -> str:
    with page.expect_download() as caught:
        page.get_by_role("button", name=name, exact=True).click()
    return caught.value.path().read_text(encoding="utf-8")


def mark_row(page: Page, number: int) -> None:
    """Click the box in front of a row of the table, which is drawn on a canvas."""
    scroller = page.get_by_test_id("stDataFrame").locator(".dvn-scroller")
    scroller.click(position={"x": 15, "y": HEADER + number * ROW_HEIGHT + ROW_HEIGHT // 2})


def test_a_model_is_evaluated_inspected_and_its_results_downloaded(
    visitor: Visitor, plain: Known
) -> None:
    page = visitor.page
    visitor.open(f"/robustness?model={MODEL}")
    expect(page.get_by_text("No evaluation yet")).to_be_visible()
    set_number(visitor, "Number of images", 30)
    page.get_by_text("More settings").click()
    set_number(visitor, "Reliability images", 2)  # enough to show the badge
    page.get_by_role("button", name="Start evaluation").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+\s% done"))).to_be_visible()
    expect(page).to_have_url(re.compile(r"evaluation=digits-standard-"))

    page.reload()  # in the middle of it
    expect(page.get_by_text(re.compile(r"\d+\s% done")).first).to_be_visible()
    table = page.get_by_test_id("stDataFrame")
    expect(table).to_be_visible(timeout=EVALUATING)
    expect(page.get_by_text(re.compile("finished$")).first).to_be_visible(timeout=EVALUATING)
    visitor.settle()
    for attack in ("PGD", "APGD", "Square"):
        badge = re.compile(rf"({SEVERITIES}) · {MODEL} · {attack}[-,]")
        expect(page.get_by_text(badge)).to_be_visible()
    cells = table.locator("canvas td")
    expect(cells.filter(has_text=re.compile(f"{SEVERITIES}|weak attack")).first).to_be_attached()

    under = page.get_by_role("combobox", name="Under attack")
    expect(under).to_have_value(re.compile("PGD"))
    mark_row(page, PGD + 1)
    expect(under).to_have_value(re.compile("APGD"))
    mark_row(page, PGD)
    expect(under).to_have_value(re.compile(f"{MODEL} · PGD"))
    visitor.settle()
    assert new_violations(page, "light", plain) == []

    rows = list(csv.DictReader(io.StringIO(download(page, "CSV"))))
    assert len(rows) == 30
    misclassified = [
        row["image"] for row in rows if (row["correct"], row["pgd correct"]) == ("1", "0")
    ]
    stored = json.loads(download(page, "JSON"))
    assert stored["results"][0]["attacks"][0]["robust_correct"].count(False) == len(misclassified)
    assert "<title>" in download(page, "HTML report")

    number = misclassified[:18][-1].rpartition("/")[2]  # on the first page
    page.get_by_role("button", name=f"Attack {number}", exact=True).click()
    expect(page.get_by_role("heading", name="Attack", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(f"image=digits%2Ftest%2F{number}&"))
    expect(page.get_by_test_id("stAlert").first).to_contain_text("becomes")
    visitor.check()
    page.reload()  # the address alone leads there, too
    expect(page.get_by_test_id("stAlert").first).to_contain_text("becomes")


def test_a_masked_model_is_refuted_in_the_quick_verdict(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/robustness?model=digits-masked")
    for name in ("masked", "spat", "ciiv", "atld"):  # what the cards of shipped models say
        verdict = re.compile(rf"-{name}.*(Not real|Holds so far|Overstated)")
        expect(page.get_by_text(verdict).first).to_be_visible()
    page.get_by_role("button", name=re.compile(r"Quick verdict: about")).click()
    expect(page.get_by_text(re.compile(r"\d+\s% done"))).to_be_visible()
    verdict = page.get_by_text(re.compile("Not real so far"))
    expect(verdict).to_be_visible(timeout=EVALUATING)  # the adaptive attack goes on meanwhile
    expect(page.get_by_text(re.compile(r"because the gradients are zero"))).to_be_visible()
    expect(
        page.get_by_role("button", name=re.compile(r"Run BPDA-20 on all 32 images"))
    ).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(re.compile("(stopping|stopped)$")).first).to_be_visible(timeout=10_000)
    page.get_by_role("button", name="Edit and run again").first.click()
    visitor.settle()
    expect(page.get_by_text(re.compile(r"32 test images, 1 model, 2 attacks"))).to_be_visible()
    visitor.check()
