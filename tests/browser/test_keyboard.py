"""The main flow of the Attack page by keyboard alone."""

import pytest
from playwright.sync_api import expect

from tests.app.examples import ROBUST, STANDARD, telling_image
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

MOST_TABS = 60
ROUNDS = 3
FOCUSED = """() => {
  let element = document.activeElement
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement
  return element.ariaLabel || element.labels?.[0]?.innerText || element.innerText || ""
}"""


def tab_to(visitor: Visitor, name: str, key: str = "Tab") -> None:
    """Press Tab until what is called `name` has the focus; fail if it cannot be reached.

    While its connection is being renewed, Streamlit disables every control, so it is tried again.
    """
    passed: list[str] = []
    for _ in range(ROUNDS):
        for _ in range(MOST_TABS):
            visitor.page.keyboard.press(key)
            passed.append(visitor.page.evaluate(FOCUSED).strip())
            if passed[-1].split("\n")[-1] == name:
                return
        visitor.settle()
    raise AssertionError(f"{name!r} is not reached by {key}, but {passed} are")


def test_the_attack_page_works_by_keyboard_alone(visit: Visitor):
    image, label = telling_image()
    visit.open(f"/attack?model={STANDARD}&image={image}&num_steps=20")
    page = visit.page
    press = page.keyboard.press
    tab_to(visit, "Skip to main content")
    press("Enter")
    tab_to(visit, "Skip to the result")
    press("Enter")
    assert page.evaluate("document.activeElement.matches('.st-key-page-result')")
    tab_to(visit, "Model", "Shift+Tab")
    page.keyboard.type(ROBUST)
    press("Enter")
    visit.settle()
    expect(page.get_by_test_id("stAlert").first).to_contain_text(f"{label} stays {label}")
    tab_to(visit, "Number of steps")
    press("ArrowRight")
    words = page.locator("output")
    expect(words).to_have_text("step 21 of 21")
    visit.settle()
    tab_to(visit, "Run attack")
    press("Enter")
    visit.settle()
    tab_to(visit, "Step back")
    press("Enter")
    expect(words).to_have_text("step 20 of 21")
    tab_to(visit, "Step of the attack")
    press("Home")
    expect(words).to_have_text("step 0 of 21")
    press("ArrowRight")
    expect(words).to_have_text("step 1 of 21")
    press("Space")
    expect(words).to_have_text("step 21 of 21")
    tab_to(visit, "Perturbation amplification (×)")
    press("ArrowRight")
    expect(page.locator(".gain")).to_have_text("× 11")
    expect(words).to_have_text("step 21 of 21")
    tab_to(visit, "PNG, 8 bits")
    with page.expect_download() as download:
        press("Enter")
    assert download.value.suggested_filename == "adversarial.png"
    tab_to(visit, "Model", "Shift+Tab")  # nothing holds the focus fast
    visit.check()
