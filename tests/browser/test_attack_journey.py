import re
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.app.examples import ATTACK, ROBUST, STANDARD, telling_image
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

RESULT = "[data-testid=stAlert]"


def address(model: str) -> str:
    image, _ = telling_image()
    query = {"model": model, "image": image, "attack": "pgd"} | ATTACK
    return "/attack?" + urlencode(query)


def choose_model(visit: Visitor, name: str) -> None:
    visit.page.get_by_role("combobox", name="Model").click()
    visit.page.get_by_role("option", name=f"digits · {name}", exact=True).click()
    visit.settle()


def test_a_visitor_sees_pgd_break_one_model_and_fail_on_the_other(visit: Visitor):
    _, label = telling_image()
    visit.open()
    visit.page.get_by_role("link", name="Attack", exact=True).first.click()
    expect(visit.page.get_by_role("heading", name="Attack", exact=True)).to_be_visible()
    visit.settle()
    visit.open(address(STANDARD))
    expect(visit.page.locator(RESULT).first).to_contain_text(f"{label} becomes")
    choose_model(visit, ROBUST)
    expect(visit.page.locator(RESULT).first).to_contain_text(f"{label} stays {label}")
    visit.check()


def test_the_player_plays_steps_and_scrubs_with_mouse_and_keys(visit: Visitor):
    _, label = telling_image()
    visit.open(address(STANDARD))
    page = visit.page
    step = page.get_by_role("slider", name="Step of the attack")
    words = page.locator("output")
    expect(words).to_have_text("step 20 of 20")
    adversarial = page.locator("figure img").nth(2)
    assert f"{label} predicted as" in (adversarial.get_attribute("alt") or "")
    last = adversarial.get_attribute("src")
    page.get_by_role("button", name="Step back").click()
    expect(words).to_have_text("step 19 of 20")
    step.focus()
    page.keyboard.press("Home")
    expect(words).to_have_text("step 0 of 20")
    assert adversarial.get_attribute("src") != last
    expect(step).to_have_attribute("aria-valuetext", re.compile(r"step 0 of 20: predicted \d"))
    page.keyboard.press("ArrowRight")
    expect(words).to_have_text("step 1 of 20")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(words).to_have_text("step 20 of 20")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    step.fill("7")
    expect(words).to_have_text("step 7 of 20")
    visit.check()


def test_pictures_are_enlarged_by_a_whole_number_and_never_smoothed(visit: Visitor):
    visit.open(address(STANDARD))
    pictures = visit.page.locator("figure img")
    expect(pictures).to_have_count(3)
    for number in range(3):
        width, natural, rendering, source = pictures.nth(number).evaluate(
            "i => [i.width, i.naturalWidth, getComputedStyle(i).imageRendering, i.src.slice(0, 15)]"
        )
        assert natural == 32 and width % natural == 0 and width >= 96
        assert rendering == "pixelated"
        assert source == "data:image/png;"
    expect(visit.page.locator(".gain")).to_have_text("× 10")


def test_a_gallery_picture_and_a_random_one_are_attacked_at_once(visit: Visitor):
    visit.open("/attack")
    page = visit.page
    group = page.get_by_role("group", name="Images to choose from")
    picture = group.get_by_role("button").nth(7)
    label = (picture.get_attribute("aria-label") or "").split(",")[0]
    picture.click()
    visit.settle()
    expect(picture).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-testid=stMetric]").nth(1)).to_contain_text(f"Confidence in {label}")
    page.get_by_role("button", name="Random").click()
    visit.settle()
    expect(page.locator("[data-testid=stMetric]")).to_have_count(3)


def test_the_copied_link_leads_back_to_the_same_state(visit: Visitor):
    visit.open(address(STANDARD))
    page = visit.page
    choose_model(visit, ROBUST)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    visit.settle()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert f"model={ROBUST}" in copied and "num_steps=20" in copied and "seed=0" in copied
    assert f"model={ROBUST}" in page.url
    found = page.locator(RESULT).first.inner_text()
    page.goto(copied)
    visit.settle()
    expect(page.locator(RESULT).first).to_contain_text(found.splitlines()[-1])


def test_the_downloaded_array_is_the_exact_adversarial_image(visit: Visitor, tmp_path: Path):
    visit.open(address(STANDARD))
    with visit.page.expect_download() as started:
        visit.page.get_by_role("button", name="NumPy, exact").click()
    started.value.save_as(tmp_path / "image.npy")
    x_adv = np.load(tmp_path / "image.npy", allow_pickle=False)
    assert x_adv.dtype == np.float32 and x_adv.shape == (1, 32, 32)
    assert x_adv.min() >= 0.0 and x_adv.max() <= 1.0


def test_a_bad_link_says_so_and_the_page_works(visit: Visitor):
    visit.open("/attack?model=nothing")
    expect(visit.page.locator(RESULT).first).to_contain_text("unknown model 'nothing'")
    expect(visit.page.locator("[data-testid=stMetric]")).to_have_count(3)
    visit.check()
