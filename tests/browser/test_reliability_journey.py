import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, expect

from tests.app.examples import ATTACK, MASKED, ROBUST, masked_image
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

FROM_WEBGL = re.compile("GL Driver Message|willReadFrequently")  # advice on speed, no fault
RESULT = "[data-testid=stAlert]"


def address(model: str, attack: str) -> str:
    query = {"model": model, "image": masked_image()[0], "attack": attack} | ATTACK
    return "/attack?" + urlencode(query)


def panel(visit: Visitor) -> Locator:
    heading = visit.page.get_by_role("heading", name="Can this result be trusted?")
    return visit.page.locator("[data-testid=stColumn]").filter(has=heading).last


def test_a_masked_model_looks_robust_fails_the_checks_and_is_fooled(visit: Visitor):
    _, label = masked_image()
    visit.open(address(MASKED, "pgd"))
    verdict = visit.page.locator(RESULT).first
    expect(verdict).to_contain_text(f"{label} stays {label}: the model resists PGD")
    expect(panel(visit)).to_contain_text("This result cannot be trusted")
    expect(panel(visit)).to_contain_text("a gradient attack fails there")
    expect(panel(visit).get_by_text(re.compile("fail$")).first).to_be_visible()
    visit.page.get_by_role("combobox", name="Attack", exact=True).click()
    visit.page.get_by_role("option", name="BPDA", exact=True).click()
    visit.settle()
    expect(verdict).to_contain_text(f"{label} becomes")
    expect(panel(visit)).to_contain_text("the adversarial image is the proof")
    visit.check()


def test_a_robust_model_passes_the_checks_and_shows_its_loss_surface(visit: Visitor):
    visit.open(address(ROBUST, "pgd"))
    expect(panel(visit)).to_contain_text("No sign of masked gradients on this image.")
    visit.page.get_by_text("The loss around this image").click()
    visit.settle()
    expect(panel(visit).locator(".js-plotly-plot .contour").first).to_be_attached()
    expect(panel(visit)).to_contain_text("How to read it.")
    visit.check()
    visit.page.get_by_role("tab", name="3-D").click()
    expect(panel(visit).locator(".js-plotly-plot canvas").first).to_be_visible()
    expect(visit.page.locator("[data-testid=stException]")).to_have_count(0)
    assert [said for said in visit.messages if not FROM_WEBGL.search(said)] == []
