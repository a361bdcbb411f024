import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from app.navigation import lesson_cookie, page_script
from app.page.learn import measures, playground, playground_measure, work
from app.page.learn.all_tours import TOURS
from app.page.learn.lesson import answers, models_of
from app.page.learn.link import HIDEABLE
from app.page.learn.measured import points
from app.page.learn.scenes import TITLES
from app.page.learn.terms import PAPERS, TERMS, find_terms, paper_words
from app.ui.plain import in_markdown
from robust_core.analysis.toy_2d_moves import MOVES, ToyRecipe, TrainedToy, moves
from robust_core.data import DATA
from tests.app.conftest import ROOT
from tests.app.page_driver import check, check_no_error, open_view, said
from tests.shelves import use_only

EXPECTED = {  # the right answers for the shipped models, which the lessons rely on
    "adversarial": [0, 2, 2, 0, 1, 0, 2],
    "masking": [2, 2, 0, 0, 2, 2],
    "gradients": [0, 2, 1, 2, 1],
    "training": [2, 1, 1, 2, 1],
}
RECIPE = ToyRecipe("line", "standard", 40, 8, 10.0, 1)


def open_page(query: dict[str, Any] | None = None) -> AppTest:
    return open_view("learn", query, timeout=60)


def press_key(page: AppTest, key: str) -> AppTest:
    return check_no_error(page.button(key=key).click().run())


def keys(page: AppTest) -> set[str]:
    kinds = (page.button, page.radio, page.selectbox, page.slider)
    return {str(element.key) for elements in kinds for element in elements}


def trained() -> TrainedToy:
    return playground_measure.train(RECIPE, "Training")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_tour_is_walked_with_the_answers_that_its_lessons_speak_of(name):
    page = open_page({"tour": name})
    for number, (step, right) in enumerate(zip(TOURS[name].steps, EXPECTED[name], strict=True), 1):
        assert step.title in [heading.value for heading in page.subheader]
        assert step.lesson not in said(page)
        check(page.radio(key=f"learn.choice.{name}.{number}").set_value(right).run())
        press_key(page, "learn.reveal")
        assert f"You predicted it: {step.options[right].words}." in [s.value for s in page.success]
        assert step.lesson in said(page)
        if number < len(TOURS[name].steps):
            press_key(page, "learn.next")
    assert page.button(key="learn.next").disabled
    captions = page.radio(key="learn.tour").proto.captions
    assert f"{len(EXPECTED[name])} of {len(EXPECTED[name])} answered" in captions


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TOURS if name not in EXPECTED])
def test_every_scene_of_the_other_tours_is_drawn_with_fewer_images(name, monkeypatch):
    measure = measures.measure

    def small(wanted, catalogue, image):
        least = 10 if wanted.kind == "agreement" else 4
        return measure(replace(wanted, number=least), catalogue, image)

    monkeypatch.setattr(measures, "measure", small)
    for constant, value in (("NUM_IMAGES", 4), ("MAP_IMAGES", 12), ("PAIR_IMAGES", 10)):
        monkeypatch.setattr(work, constant, value)
    page = open_page({"tour": name})
    for number, step in enumerate(TOURS[name].steps, 1):
        press_key(page, "learn.reveal")
        assert page.info[0].value.startswith("Measured: ") and step.lesson in said(page)
        if number < len(TOURS[name].steps):
            press_key(page, "learn.next")


@pytest.mark.slow
def test_a_wrong_prediction_and_none_are_answered_and_can_be_made_again():
    page = open_page({"tour": "adversarial", "step": 2})
    check(page.radio(key="learn.choice.adversarial.2").set_value(0).run())
    press_key(page, "learn.reveal")
    assert "Measured: more than 95\u00a0%" in page.warning[0].value
    assert "of a sample of 60 test images correctly" in said(page)
    press_key(page, "learn.again")
    assert page.button(key="learn.reveal").label == "I cannot tell: show me"
    press_key(page, "learn.reveal")
    assert page.info[0].value == "Measured: more than 95\u00a0%."


def test_tours_have_five_to_eight_steps_with_answers_that_cover_every_value_once():
    for tour in TOURS.values():
        assert 5 <= len(tour.steps) <= 8
        for step in tour.steps:
            assert len(step.options) >= 3
            for value in np.linspace(-3, 30, 500):
                assert sum(option.fits(float(value)) for option in step.options) == 1


def test_every_kind_of_scene_and_measure_is_known_and_every_model_shipped():
    shipped = {file.stem for file in (ROOT / "checkpoints" / "pretrained").iterdir()}
    for tour in TOURS.values():
        assert {name.partition(":")[0] for name in models_of(tour)} <= shipped
    kinds = {step.measure.kind for tour in TOURS.values() for step in tour.steps}
    assert kinds <= measures.KINDS.keys()


def test_answers_meet_at_their_bounds():
    low, high = answers("low", 0.5, "high")
    assert low.fits(0.49) and not low.fits(0.5)
    assert high.fits(0.5) and not high.fits(0.49)


@pytest.mark.slow
def test_a_measurement_names_attack_norm_epsilon_steps_seed_and_images():
    page = open_page({"tour": "adversarial", "step": 5})
    press_key(page, "learn.reveal")
    words = said(page)
    assert re.search(r"\*\*\d+ points lower\*\*", words)
    assert re.search(r"under PGD-20, Linf 25.5/255, seed 0", words)
    assert "a sample of 60 test images" in words


def test_the_epsilon_of_a_scene_changes_the_attack_and_not_the_question():
    page = open_page({"tour": "adversarial", "step": 6})
    press_key(page, "learn.reveal")
    asked = [line for line in said(page).splitlines() if "before and" in line]
    (slider,) = [one for one in page.slider if str(one.key).startswith("learn.epsilon")]
    check(slider.set_value(0.0).run())
    assert "3 stays 3" in said(page)
    assert [line for line in said(page).splitlines() if "before and" in line] == asked


def test_a_tour_without_its_models_says_which_are_missing(tmp_path: Path, monkeypatch):
    use_only(tmp_path, monkeypatch)
    page = open_page({"tour": "retina"})
    assert "This tour needs the shipped" in page.info[0].value
    assert "digits-ciiv" in page.info[0].value


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"tour": "retna"}, "did you mean 'retina'?"),
        ({"tour": "retina", "step": 9}, "step should be"),
        ({"tour": "retina", "step": 6}, "at most 5"),
        ({"section": "glosary"}, "did you mean 'glossary'?"),
        ({"hide": "everything"}, "unknown hidden control"),
        ({"present": "yes"}, "present should be a whole number in [0, 1]"),
        ({"epsilon": 99}, "epsilon should be a number in [0.0, 20.0]"),
        ({"left": "trades"}, "unknown method"),
        ({"arrows": "pgd,fgsm"}, "unknown kind of arrows"),
        ({"stp": 2}, "did you mean 'step'?"),
    ],
)
def test_a_bad_link_gives_one_clear_sentence_and_the_page_goes_on(query, sentence):
    page = open_page({"section": "glossary"} | query)
    problems = [warning.value for warning in page.warning if "link" in warning.value]
    assert len(problems) == 1
    assert in_markdown(sentence) in problems[0]


@pytest.mark.slow
def test_hidden_controls_are_gone_and_a_prediction_is_asked_for():
    page = open_page({"tour": "masking", "step": 1, "hide": ",".join(HIDEABLE)})
    walk = {"learn.reveal", "learn.back", "learn.next", "learn.enter"}
    assert keys(page) == {"learn.choice.masking.1", *walk}
    assert page.button(key="learn.reveal").disabled
    check(page.radio(key="learn.choice.masking.1").set_value(0).run())
    assert not page.button(key="learn.reveal").disabled


@pytest.mark.slow
def test_next_waits_for_an_answer():
    page = open_page({"tour": "adversarial"})
    assert page.button(key="learn.next").disabled
    press_key(page, "learn.reveal")
    assert not page.button(key="learn.next").disabled


@pytest.mark.slow
def test_present_mode_shows_one_step_and_its_end_the_page():
    page = open_page({"present": 1, "tour": "masking", "step": 2})
    step = TOURS["masking"].steps[1]
    assert [title.value for title in page.title] == [step.title] and not page.subheader
    assert "learn.tour" not in keys(page) and "learn.enter" not in keys(page)
    press_key(page, "learn.reveal")
    assert step.lesson in said(page) and step.text not in said(page)
    press_key(page, "learn.leave")
    assert page.title[0].value == "Learn" and step.lesson in said(page)
    press_key(page, "learn.enter")
    assert [title.value for title in page.title] == [step.title]


def test_a_loss_is_told_as_a_loss():
    assert points(-0.034) == "3 points lower" and points(0.01) == "1 point higher"
    assert points(0.004) == points(-0.004) == "the same to within half a point"


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.slow
def test_the_first_step_is_a_change_that_cannot_be_seen_and_a_collapse(installed, monkeypatch):
    if not installed:
        monkeypatch.setattr(DATA.get("imagenet_samples"), "is_available", lambda: False)
    elif not DATA.get("imagenet_samples").is_available():
        pytest.skip("Foolbox's photographs are not installed")
    page = open_page({"tour": "adversarial"})
    expected = ("photographs", "2/255") if installed else ("drawn shapes", "8/255")
    assert all(words in said(page) for words in expected)
    check(page.radio(key="learn.choice.adversarial.1").set_value(0).run())
    press_key(page, "learn.reveal")
    assert page.success[0].value == "You predicted it: less than 10\u00a0%."


def test_a_tour_with_optional_models_has_as_many_steps():
    for tour in TOURS.values():
        assert tour.rather is None or len(tour.rather.steps) == len(tour.steps)


def test_a_tour_shows_an_image_that_fits_its_rule():
    page = open_page({"tour": "training"})
    press_key(page, "learn.reveal")
    assert "PGD fools the standard model" in said(page)
    assert "without any attack" not in said(page)


def test_a_teachers_link_names_what_is_hidden():
    page = open_page({"section": "teacher"})
    assert "tour=adversarial&step=1&hide=tours,teacher,skip" in page.code[0].value
    page.selectbox(key="learn.teach.tour").set_value("latent")
    page.checkbox(key="learn.teach.hide.links").set_value(True)
    check(page.run())
    assert "tour=latent&step=1&hide=tours,teacher,skip,links,pages" in page.code[0].value
    assert "Only this computer" in said(page)
    page.checkbox(key="learn.teach.present").set_value(True)
    check(page.run())
    assert "present=1" in page.code[0].value


@pytest.mark.parametrize("start", ["session", "cookie"])
def test_a_link_that_hides_the_other_pages_leads_back_from_them(start, monkeypatch):
    lesson = {"hide": "pages,skip", "section": "tours", "tour": "masking", "step": "3"}
    if start == "cookie":  # a new session of a browser that has followed the link
        cookies = {lesson_cookie(): urlencode(lesson)}
        context = SimpleNamespace(
            cookies=cookies, headers={}, ip_address=None, url="", theme=st.context.theme
        )
        monkeypatch.setattr(st, "context", context)
        page = open_view("attack")
    else:
        page = open_page(lesson)
        page.query_params.clear()
        page.switch_page(page_script("attack"))
        check(page.run())
    assert page.title[0].value == "Not part of the lesson"
    assert "shows the page Learn only" in said(page)
    (back,) = page.main.get("page_link")
    assert back.proto.page == "learn"
    page.switch_page(page_script("learn"))
    check(page.run())
    assert TOURS["masking"].steps[2].title in [heading.value for heading in page.subheader]
    assert "skip" in page.session_state["learn.hidden"]


@pytest.mark.slow
def test_an_address_that_hides_nothing_ends_the_lesson():
    page = open_page({"hide": "pages"})
    page.query_params["hide"] = ""
    check(page.run())
    assert page.session_state["learn.hidden"] == ()
    page.query_params.clear()
    page.switch_page(page_script("start"))
    assert "Not part of the lesson" not in [title.value for title in check(page.run()).title]


@pytest.mark.slow
def test_the_copied_link_leads_back_to_the_playground():
    query = {"section": "playground", "data": "moons", "right": "pag", "seed": "7"}
    query |= {"epsilon": "3.5", "arrows": "pgd,lmae", "hide": "teacher", "epochs": "20"}
    query |= {"points": "40"}
    page = open_page(query)
    assert len(page.get("plotly_chart")) == 3  # trained at once, not empty
    check(page.slider(key="learn.play.epochs").set_value(10).run())
    assert "Press Train both" in said(page)
    check(page.slider(key="learn.play.epochs").set_value(20).run())
    page.session_state["learn.copy_link"] = {"copied": "anything"}
    check(page.run())
    state = {name: "".join(value) for name, value in page.query_params.items()}
    assert query.items() <= state.items()


@pytest.mark.slow
def test_the_playground_trains_and_follows_epsilon():
    query = {"section": "playground", "points": 40, "epochs": 10, "seed": 1}
    page = open_page(query)
    press_key(page, "learn.play.train")
    before = [line for line in said(page).splitlines() if "under PGD" in line]
    assert len(before) == 2 and before[0].startswith("**Standard**")
    check(page.slider(key="learn.play.epsilon").set_value(0.0).run())
    after = [line for line in said(page).splitlines() if "under PGD" in line]
    for line in after:
        clean, attacked = re.findall(r"(\d+)\s%", line)
        assert clean == attacked


def test_every_move_has_a_name():
    assert tuple(playground.LAYERS) == MOVES


@pytest.mark.slow
def test_training_in_the_plane_is_kept_and_leaves_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = trained()
    moves(first, 5.0)
    assert torch.equal(torch.rand(1), expected)
    assert trained() is first and playground_measure.known_network(RECIPE) is first


def test_every_term_is_one_sentence_and_its_page_exists():
    words = [term.word for term in TERMS]
    assert len(set(words)) == len(words)
    for term in TERMS:
        assert term.sentence.endswith(".") and ". " not in term.sentence
        assert not term.page or page_script(term.page) in TITLES
    assert [term.word for term in find_terms("gradient masking")] == ["Gradient masking"]
    assert find_terms("no such thing") == ()


def test_papers_are_listed_without_empty_parts():
    for paper in PAPERS:
        assert ", ," not in paper_words(paper) and "**" in paper_words(paper)
    page = open_page({"section": "glossary"})
    assert "2207.11378" in said(page) and "Adversarial example" in said(page)
