"""What axe finds on a page, and what of it a page of plain Streamlit does not have."""

from dataclasses import dataclass
from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

Scheme = Literal["light", "dark"]
Known = set[tuple[str, str, Scheme]]  # rule, part and theme
SCHEMES: tuple[Scheme, Scheme] = ("light", "dark")
THEME_IS_THERE = """(scheme) => (
  getComputedStyle(document.querySelector("[data-testid=stApp]")).colorScheme === scheme
  && !document.getAnimations().some((animation) => (
    animation instanceof CSSTransition && animation.playState === "running"
  ))
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


def violations(page: Page, scheme: Scheme) -> list[Violation]:
    """Return what axe finds on a page in the light or the dark theme."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    if page.evaluate(THEME_IS_THERE, scheme) is False:
        page.wait_for_timeout(500)  # charts are drawn again
    return violations_now(page, scheme)


def violations_now(page: Page, scheme: Scheme) -> list[Violation]:
    """Return what axe finds on a page that is in that theme."""
    page.wait_for_function(THEME_IS_THERE, arg=scheme)  # colours fade
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE_SCRIPT)
    return [Violation(**found) for found in page.evaluate(RUN_AXE)]


def new_violations(page: Page, scheme: Scheme, known: Known) -> list[Violation]:
    """Return what axe finds, on a page that is in that theme, beyond what is known."""
    return [
        found
        for found in violations_now(page, scheme)
        if (found.rule, found.part, scheme) not in known
    ]
