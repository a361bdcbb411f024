import time
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.ui import models, reliability
from app.ui.finding_words import measured_words, reliability_sentence
from app.ui.measure import Cost
from app.ui.traces import attack_image
from robust_core.attacks.base import attack_from, create_attack
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.data import load_data
from robust_core.evaluation.batch import watched
from robust_core.evaluation.check import CHECKS
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from tests.app.examples import ATTACK, MASKED, ROBUST, STANDARD, attack_link, masked_image
from tests.app.page_driver import check_no_error, labels, open_view, press, press_where_needed, said

SECTION = "Can this result be trusted?"
BUTTON = "Check this result"


def open_on(model: str, **more: Any) -> AppTest:
    return open_view("attack", attack_link(model, **{"image": masked_image()[0], **more}))


def open_checked(model: str, **more: Any) -> AppTest:
    return press_where_needed(open_on(model, **more), BUTTON)


def titles_with(page: AppTest, severity: str) -> list[str]:
    found = [element.value for element in page.markdown if "-badge[" in element.value]
    return [text.split("**")[1] for text in found if f" {severity}]" in text]


@pytest.mark.slow
def test_a_masked_model_resists_splendidly_and_is_called_out():
    page = open_checked(MASKED)
    _, label = masked_image()
    assert f"{label} stays {label}: the model resists PGD" in page.success[0].value
    assert SECTION in [subheader.value for subheader in page.subheader]
    assert "This result cannot be trusted" in said(page)
    assert {"Gradients", "Large epsilon"} <= set(titles_with(page, "fail"))
    assert "The gradient of cross-entropy is zero for the image" in said(page)
    assert "*Try next:* Attack with BPDA through the part that masks it" in said(page)
    assert "measured 100\u00a0%, pass up to 2\u00a0%" in said(page)


@pytest.mark.slow
def test_a_robust_model_passes_the_checks():
    page = open_checked(ROBUST)
    assert "No sign of masked gradients on this image." in said(page)
    assert not titles_with(page, "fail") and not titles_with(page, "warning")
    assert len(titles_with(page, "pass")) >= 10


@pytest.mark.slow
def test_a_successful_attack_is_its_own_proof():
    page = open_checked(STANDARD)
    assert "the adversarial image is the proof.**" in said(page)
    assert not titles_with(page, "fail")


@pytest.mark.slow
def test_bpda_breaks_the_masked_model_and_its_own_gradients_pass():
    page = open_checked(MASKED, attack="bpda")
    _, label = masked_image()
    assert f"{label} becomes" in page.warning[0].value
    assert "Gradients" in titles_with(page, "pass")


@pytest.mark.slow
def test_an_image_that_is_wrong_from_the_start_leaves_nothing_to_check():
    images = load_data("digits", "test")
    model = models.load_model(checkpoint_info(STANDARD))
    wrong = int(torch.where(model(images.x).argmax(1) != images.y)[0][0])
    page = open_on(STANDARD, image=images.image_id(wrong))
    assert "nothing to check" in "\n".join(info.value for info in page.info)
    assert not titles_with(page, "pass")


@pytest.mark.slow
def test_costly_checks_wait_for_their_button(monkeypatch):
    monkeypatch.setattr("app.ui.reliability.cost", lambda info, attack: Cost(1000, 100.0))
    page = open_on(ROBUST, seed=41)
    assert len(page.metric) == 3, "the pictures wait for nothing"
    assert "2 min by a measurement here" in "\n".join(caption.value for caption in page.caption)
    assert not titles_with(page, "pass")
    press(page, BUTTON)
    assert titles_with(page, "pass") and BUTTON not in labels(page)


@pytest.mark.slow
def test_the_checks_of_one_image_take_under_two_seconds():
    info = checkpoint_info(ROBUST)
    x = load_data("digits", "test").x[1]
    attack = create_attack("pgd", **{**ATTACK, "seed": 98})
    trace = attack_image(info, x, 9, attack, None)
    started = time.process_time()
    reliability.check(info, trace)
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fgsm", {}),
        ("mim", {"num_steps": 3}),
        ("apgd", {"num_steps": 5}),
        ("bpda", {"num_steps": 3}),
        ("square", {"num_queries": 10}),
        ("deepfool", {"num_steps": 5}),
        ("spatial", {}),
    ],
)
def test_every_kind_of_attack_can_be_checked_on_one_image(name, parameters):
    images = load_data("digits", "test").subset(slice(1, 2))
    model = watched(models.load_model(checkpoint_info(MASKED)), lambda: None)
    attack = attack_from(name, parameters)
    found = check_reliability(ReliabilityCase(model, images.x, images.y, attack, effort=0.05))
    assert {finding.name for finding in found} <= set(CHECKS.names())


def test_an_image_that_is_wrong_for_the_checks_only_gets_a_finding():
    info = checkpoint_info(ROBUST)
    x = load_data("digits", "test").x[1]
    attack = create_attack("pgd", num_steps=1, seed=96)
    trace = attack_image(info, x, 8, attack, None)  # it is a 9
    found = reliability.check(info, trace)
    assert [finding.name for finding in found] == ["attacked_images"]
    assert measured_words(found[0]) == "measured 100\u00a0%, pass up to 0\u00a0%"


def test_sentences_say_how_bad_it_is():
    info = checkpoint_info(ROBUST)
    x = load_data("digits", "test").x[1]
    trace = attack_image(info, x, 9, create_attack("pgd", **ATTACK), None)
    warning = Finding("converged", Severity.WARN, 0.03, 0.01, "…")
    failure = Finding("gradients", Severity.FAIL, 1.0, 0.02, "…")
    assert reliability_sentence([warning], trace).startswith(
        "Take this result with caution: a longer"
    )
    assert reliability_sentence([warning, failure], trace) == (
        "This result cannot be trusted: the gradients are zero or not finite."
    )
    moved = Finding("deterministic", Severity.FAIL, 0.31, 0.0, "…")
    assert measured_words(moved) == "outputs moved by 0.31, pass up to 0"


@pytest.mark.slow
def test_the_loss_surface_waits_until_it_is_opened():
    page = open_on(MASKED)
    assert [expander.label for expander in page.expander if "loss" in expander.label]
    assert "How to read it" not in said(page)
    page.session_state["attack.surface"] = True
    check_no_error(page.run())
    assert "How to read it" in said(page)
