"""axe finds nothing on the pages beyond what it finds on a page of plain Streamlit.

The first view of every page is looked at in both themes; what is behind it on Hard pairs, Latent
space, Retina and Learn in one of them. The results of a training and of an evaluation are looked at
in their journeys.
"""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from app.navigation import PAGES as NAVIGATION
from app.page.hard_pairs.controls import VIEWS as HARD_PAIRS_VIEWS
from tests.browser.axe import SCHEMES, Known, Scheme, new_violations, violations
from tests.browser.conftest import Visitor
from tests.browser.test_hard_pairs_journey import OTHER, PLAN, show_what_is_behind

pytestmark = pytest.mark.browser

PAGES = sorted("" if name == "start" else name for name in NAVIGATION)
Views = Iterator[str]  # shows one view after another and names it


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_beyond_plain_streamlit(path: str, visit: Visitor, plain: Known):
    visit.open(f"/{path}")
    new = [
        (scheme, found)
        for scheme in SCHEMES
        for found in violations(visit.page, scheme)
        if (found.rule, found.part, scheme) not in plain
    ]
    assert new == []


def hard_pairs(visitor: Visitor) -> Views:
    visitor.open(f"/hard_pairs?{PLAN}&other={OTHER}")
    press(visitor, "Run attack")
    for view in HARD_PAIRS_VIEWS.values():
        choose(visitor, view)
        show_what_is_behind(visitor, "Measure alignment of perturbations")
        show_what_is_behind(visitor, f"Attack {OTHER}")
        yield view


def latent(visitor: Visitor) -> Views:
    visitor.open("/latent?model=digits-atld&attack=fgsm&images=50")
    tabs = visitor.page.get_by_role("tab")
    expect(tabs).to_have_count(5)
    for tab in tabs.all():
        tab.click()
        visitor.settle()
        run = visitor.page.get_by_role("button", name="Vary the step size")
        if run.count():
            visitor.page.get_by_role("slider", name="Steps of APGD").press("Home")
            visitor.settle()
            run.click()
            visitor.settle()
            expect(visitor.page.get_by_role("button", name="Curve, JSON")).to_be_visible()
        yield tab.inner_text()


def retina(visitor: Visitor) -> Views:
    visitor.open("/retina?model=digits-ciiv")
    press(visitor, "Attack this image")
    expect(visitor.page.get_by_role("group", name="Views of the adversarial image")).to_be_visible()
    yield "adversarial image"


def learn(visitor: Visitor) -> Views:
    visitor.open("/learn?tour=adversarial&step=1&points=80&epochs=10")
    yield "question"
    visitor.page.get_by_role("radio").last.focus()
    visitor.page.keyboard.press("Space")
    press(visitor, "Show what happens")
    yield "answer"
    for name in ("Playground", "Glossary", "For teachers"):
        choose(visitor, name)
        yield name
    visitor.open("/learn?present=1&tour=adversarial&step=2")
    yield "question, presented"
    press(visitor, "I cannot tell: show me")
    yield "answer, presented"


def press(visitor: Visitor, name: str) -> None:
    visitor.page.get_by_role("button", name=name).click()
    visitor.settle()


def choose(visitor: Visitor, view: str) -> None:
    radio = visitor.page.get_by_role("radio", name=view, exact=True)
    if not radio.is_checked():
        radio.click()
        visitor.settle()


@pytest.mark.parametrize(
    ("walk", "scheme"),
    [
        (hard_pairs, "light"),
        (latent, "light"),
        (retina, "dark"),
        (learn, "dark"),
    ],
)
def test_axe_finds_nothing_new_behind_the_first_view(
    walk: Callable[[Visitor], Views], scheme: Scheme, visit: Visitor, plain: Known
):
    visit.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    found = {view: new_violations(visit.page, scheme, plain) for view in walk(visit)}
    assert len(found) > 0 and not any(found.values()), found


def test_axe_would_find_a_button_without_a_name(visit: Visitor):
    visit.open("/")
    visit.page.evaluate(
        "document.querySelector('section')?.append(document.createElement('button'))"
    )
    assert "button-name" in {found.rule for found in violations(visit.page, "light")}
