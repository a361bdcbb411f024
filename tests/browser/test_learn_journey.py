import re

import pytest
from playwright.sync_api import expect

from app.navigation import PAGES
from tests.browser.conftest import Visitor
from tests.browser.test_keyboard import tab_to

pytestmark = pytest.mark.browser


def test_a_student_predicts_opens_the_page_and_plays_in_the_plane(visit: Visitor):
    visit.open("/learn?tour=adversarial&step=5&hide=teacher,skip")
    page = visit.page
    expect(page.get_by_text("For teachers")).to_have_count(0)
    reveal = page.get_by_role("button", name="Show what happens")
    expect(reveal).to_be_disabled()
    page.get_by_role("radio", name="less than 2 points", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    expect(reveal).to_be_enabled()
    visit.settle()
    reveal.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("You predicted it: 2 to 30 points.")).to_be_visible()
    expect(page.get_by_text("PGD-20, Linf 25.5/255, seed 0").first).to_be_visible()
    expect(page.locator("output")).to_have_text("step 20 of 20")
    visit.settle()
    page.get_by_role("link", name="Open in the Attack page").click()
    expect(page.get_by_role("heading", name="Attack", exact=True)).to_be_visible()
    expect(page.locator("output")).to_have_text("step 20 of 20")
    visit.settle()
    assert "num_steps=20" in page.url and "image=digits" in page.url
    page.get_by_role("link", name="Gradients", exact=True).click()
    expect(page.get_by_role("heading", name="Gradients", exact=True)).to_be_visible()
    visit.settle()
    expect(page.get_by_role("radio", name="Gallery")).to_be_checked()  # the mark has come along
    page.get_by_role("link", name="Learn", exact=True).click()
    visit.settle()
    expect(page.get_by_text("1 of 7 answered")).to_be_visible()
    expect(page.get_by_text("For teachers")).to_have_count(0)

    visit.open("/learn?section=playground&points=80&epochs=10&arrows=pgd,lmae,target")
    told = page.get_by_text(re.compile(r"correct, \d+\s% under PGD"))
    expect(told).to_have_count(2)
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    visit.settle()
    epsilon = page.get_by_role("slider", name="Epsilon (L2")
    epsilon.focus()
    page.keyboard.press("Home")
    expect(told.first).to_have_text(re.compile(r": (\d+)\u00a0% correct, \1\u00a0% under PGD"))
    visit.settle()


def test_a_teacher_makes_a_link_that_hides_what_was_chosen(visit: Visitor):
    visit.open("/learn?section=teacher")
    page = visit.page
    page.get_by_text("the links to the other pages").click()
    visit.settle()
    address = page.locator("[data-testid=stCode]").inner_text().replace("\n", "")
    assert address.startswith(visit.address) and "hide=tours,teacher,skip,links" in address
    page.get_by_role("link", name="Open the link").click()
    expect(page.get_by_role("button", name="Show what happens")).to_be_disabled()
    expect(page.get_by_role("radiogroup", name="Tour")).to_have_count(0)
    expect(page.get_by_text("Open in the")).to_have_count(0)
    visit.settle()
    page.goto(address)
    expect(page.get_by_role("button", name="Show what happens")).to_be_disabled()
    visit.settle()


ON_ONE_SCREEN = """() => {
  const parts = [".st-key-learn-question button", ".st-key-learn-question input"]
  const found = parts.flatMap((part) => [...document.querySelectorAll(part)])
  const look = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.shadowRoot) look(node.shadowRoot)
      if (node.matches("figure, .controls")) found.push(node)
    }
  }
  look(document.querySelector(".st-key-learn-scene"))
  const lowest = Math.max(...found.map((node) => node.getBoundingClientRect().bottom))
  return found.length > 3 && lowest <= innerHeight
}"""


def test_a_lesson_is_presented_by_keyboard_alone_and_leads_back_from_other_pages(visit: Visitor):
    page, press = visit.page, visit.page.keyboard.press
    page.set_viewport_size({"width": 1366, "height": 768})
    visit.open("/learn?present=1&tour=training&step=1&hide=tours,skip,pages")
    expect(page.get_by_role("heading", name="Train on attacked images")).to_be_visible()
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    press("ArrowRight")  # nothing is predicted yet
    tab_to(visit, "less than 5 points")
    press("Space")
    press("ArrowDown")  # a choice, not the next step
    press("ArrowDown")
    visit.settle()
    assert page.evaluate(ON_ONE_SCREEN)
    tab_to(visit, "Show what happens")
    press("Enter")
    expect(page.get_by_text("You predicted it: more than 20 points.")).to_be_visible()
    expect(page.locator("output")).to_have_text("recorded step 20 of 20")
    visit.settle()
    for width, height in ((1366, 768), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(ON_ONE_SCREEN)
    press("ArrowRight")
    expect(page.get_by_role("heading", name="Is there a price?")).to_be_visible()
    visit.settle()
    press("ArrowLeft")
    expect(page.get_by_role("heading", name="Train on attacked images")).to_be_visible()
    visit.settle()
    press("PageDown")
    expect(page.get_by_role("heading", name="Is there a price?")).to_be_visible()
    visit.settle()
    press("Escape")
    expect(page.get_by_role("heading", name="Learn")).to_be_visible()
    visit.settle()
    links = page.get_by_test_id("stSidebar").get_by_role("link")
    expect(links).to_have_text(re.compile("Learn"))

    visit.open("/train")  # a new session of the same browser
    expect(page.get_by_role("heading", name="Not part of the lesson")).to_be_visible()
    page.get_by_role("link", name="Back to the lesson").click()
    expect(page.get_by_role("heading", name="Is there a price?")).to_be_visible()
    visit.settle()
    visit.open("/learn?hide=")
    expect(links).to_have_count(len(PAGES))
    page.set_viewport_size({"width": 1440, "height": 1000})
