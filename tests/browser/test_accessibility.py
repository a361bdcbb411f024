"""axe finds nothing on the pages beyond what it finds on a page of plain Streamlit."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from tests.browser.conftest import ROOT, START_SECONDS, Visitor, chromium, start_server

pytestmark = pytest.mark.browser

PAGES = sorted(
    "" if path.stem == "start" else path.stem
    for path in (ROOT / "app" / "views").glob("*.py")
    if path.stem != "__init__"
)
THEME_IS_THERE = """(scheme) => (
  getComputedStyle(document.querySelector("[data-testid=stApp]")).colorScheme === scheme
  && !document.getAnimations().some((animation) => animation instanceof CSSTransition)
)"""
RUN_AXE = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"], elementRef: true })
  const part = (element) => {
    for (; element; element = element.parentElement ?? element.getRootNode().host) {
      const name = element.dataset?.testid
      if (name && name !== "stMarkdownContainer") return name
    }
    return ""
  }
  return found.violations.flatMap((rule) => rule.nodes.map((node) => (
    { rule: rule.id, part: part(node.element), html: node.html, why: node.failureSummary }
  )))
}"""  # a part is Streamlit's name for the element in which something was found


@dataclass(frozen=True)
class Violation:
    """What axe found: the rule, the part of Streamlit it was found in, and where exactly."""

    rule: str
    part: str
    html: str
    why: str


def violations(page: Page, scheme: str) -> list[Violation]:
    """Return what axe finds on a page in the light or the dark theme."""
    page.emulate_media(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
    )
    page.wait_for_timeout(500)
    page.wait_for_function(THEME_IS_THERE, arg=scheme)  # colours fade
    page.evaluate(AXE_SCRIPT)
    return [Violation(**found) for found in page.evaluate(RUN_AXE)]


@pytest.fixture(scope="module")
def plain(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[set]:
    """Rule, part and theme of what axe finds on a page of plain Streamlit, in its own colours."""
    chromium()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    script = str(Path(__file__).parent / "plain_page.py")
    process, address = start_server(environment, script, tmp_path_factory.mktemp("plain"))
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    visitor = Visitor(context.new_page(), address)
    visitor.open()
    yield {
        (found.rule, found.part, scheme)
        for scheme in ("light", "dark")
        for found in violations(visitor.page, scheme)
    }
    context.close()
    process.terminate()
    process.wait(timeout=START_SECONDS)


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_beyond_plain_streamlit(path: str, visit: Visitor, plain: set):
    visit.open(f"/{path}")
    new = [
        (scheme, found)
        for scheme in ("light", "dark")
        for found in violations(visit.page, scheme)
        if (found.rule, found.part, scheme) not in plain
    ]
    assert new == []


def test_axe_would_find_a_button_without_a_name(visit: Visitor):
    visit.open("/")
    visit.page.evaluate(
        "document.querySelector('section')?.append(document.createElement('button'))"
    )
    assert "button-name" in {found.rule for found in violations(visit.page, "light")}
