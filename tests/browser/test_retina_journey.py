import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.app.page.retina.test_retina_page import give_network
from tests.browser.conftest import Server, Visitor

pytestmark = pytest.mark.browser


def test_the_fixation_follows_keys_and_clicks_and_the_views_follow_it(
    visitor: Visitor, server: Server
) -> None:
    (server.folder / "imported").mkdir()
    give_network(server.folder / "imported" / "tiny-retina.safetensors")
    query = {"model": "imported/tiny-retina", "image": "digits/test/5", "seed": 3}
    visitor.open("/retina?" + urlencode(query))
    page = visitor.page
    eye = page.get_by_role("application")
    expect(eye).to_have_attribute("aria-label", re.compile("column 16, row 16"))
    steps = page.get_by_role("group", name="Steps from the image to the views")
    density = steps.get_by_role("img", name=re.compile("Keep probability"))
    before = density.get_attribute("src")
    assert density.evaluate("i => i.width % i.naturalWidth") == 0
    eye.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    expect(eye).to_have_attribute("aria-label", re.compile("column 15, row 12"))
    expect(density).not_to_have_attribute("src", before or "")
    visitor.settle()
    box = eye.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 2 + box["width"] / 32 * 3.5, box["y"] + 2 + box["height"] / 32 * 27)
    expect(eye).to_have_attribute("aria-label", re.compile("column 3, row 2[67]"))
    views = page.get_by_role("group", name="Views of the clean image and their predictions")
    expect(views).to_contain_text("(3, 2")
    visitor.settle()
    page.get_by_role("button", name="Attack this image").click()
    expect(page.get_by_role("group", name="Views of the adversarial image")).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    visitor.settle()
    assert "column=3" in page.url and "seed=3" in page.url
