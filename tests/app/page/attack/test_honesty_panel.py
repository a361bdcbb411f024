import time
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.ui import cached, honesty
from app.ui.finding_words import REASONS, TITLES, measured_words, trust_sentence
from app.ui.honesty import Interruptible
from robust_core.attacks.base import attack_from, create_attack
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.data import load_data
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation.reliability import CHECKS, Subject, check_reliability
from tests.app.examples import ATTACK, MASKED, ROBUST, STANDARD, attack_link, masked_image
from tests.app.page_driver import check_no_error, labels, open_view, press, said

SECTION = "Can this result be trusted?"
BUTTON = "Check this result"


def open_on(model: str, **more: Any) -> AppTest:
    return open_view("attack", attack_link(model, **{"image": masked_image()[0], **more}))


def titles_with(page: AppTest, severity: str) -> list[str]:
    found = [element.value for element in page.markdown if "-badge[" in element.value]
    return [text.split("**")[1] for text in found if f" {severity}]" in text]


def test_a_masked_model_resists_splendidly_and_is_called_out():
    page = open_on(MASKED)
    _, label = masked_image()
    assert f"{label} stays {label}: the model resists PGD" in page.success[0].value
    assert SECTION in [subheader.value for subheader in page.subheader]
    assert "This result cannot be trusted" in said(page)
    assert {"Gradients", "Large radius"} <= set(titles_with(page, "alarm"))
    assert "The gradient of cross-entropy is zero at the image" in said(page)
    assert "*Try next:* Pass the gradient through the part that hides it (BPDA)" in said(page)
    assert "measured 100 %, fine up to 2 %" in said(page)


def test_a_robust_model_raises_no_alarm():
    page = open_on(ROBUST)
    assert "No sign of masked gradients on this image." in said(page)
    assert not titles_with(page, "alarm") and not titles_with(page, "doubtful")
    assert len(titles_with(page, "fine")) >= 10


def test_a_broken_image_is_its_own_proof():
    page = open_on(STANDARD)
    assert "a broken image is its own proof.**" in said(page)
    assert not titles_with(page, "alarm")


def test_bpda_breaks_the_masked_model_and_its_own_gradients_are_fine():
    page = open_on(MASKED, attack="bpda")
    _, label = masked_image()
    assert f"{label} becomes" in page.warning[0].value
    assert "Gradients" in titles_with(page, "fine")


def test_an_image_that_is_wrong_from_the_start_leaves_nothing_to_doubt():
    images = load_data("digits", "test")
    model = cached.load_model(checkpoint_info(STANDARD))
    wrong = int(torch.where(model(images.x).argmax(1) != images.y)[0][0])
    page = open_on(STANDARD, image=images.image_id(wrong))
    assert "no result to doubt" in "\n".join(info.value for info in page.info)
    assert not titles_with(page, "fine")


def test_costly_checks_wait_for_their_button(monkeypatch):
    monkeypatch.setattr("app.ui.honesty.expected_seconds", lambda info, attack: 100.0)
    page = open_on(ROBUST, seed=41)
    assert len(page.metric) == 3, "the pictures wait for nothing"
    assert "takes about 2 min" in "\n".join(caption.value for caption in page.caption)
    assert not titles_with(page, "fine")
    press(page, BUTTON)
    assert titles_with(page, "fine") and BUTTON not in labels(page)


def test_a_newer_request_ends_the_checks_and_frees_the_gate():
    info = checkpoint_info(ROBUST)
    x, calls = load_data("digits", "test").x[1], []
    trace = cached.run_attack(
        info, x, 9, create_attack("pgd", num_steps=2, seed=97), None, check=lambda: None
    )

    def check_current() -> None:
        calls.append(1)
        if len(calls) > 10:
            raise cached.Superseded

    with pytest.raises(cached.Superseded):
        honesty.check(info, trace, check_current=check_current, on_share=lambda share: None)
    assert len(calls) == 11
    with cached.heavy_work():
        pass


def test_the_checks_of_one_image_take_under_two_seconds():
    info = checkpoint_info(ROBUST)
    x = load_data("digits", "test").x[1]
    attack = create_attack("pgd", **{**ATTACK, "seed": 98})
    trace = cached.run_attack(info, x, 9, attack, None, check=lambda: None)
    started = time.process_time()
    honesty.check(info, trace, check_current=lambda: None, on_share=lambda share: None)
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
    model = Interruptible(cached.load_model(checkpoint_info(MASKED)), lambda: None)
    attack = attack_from(name, parameters)
    found = check_reliability(Subject(model, images.x, images.y, attack, effort=0.05))
    assert {finding.name for finding in found} <= TITLES.keys()


def test_an_image_that_is_wrong_for_the_checks_only_is_a_doubt():
    info = checkpoint_info(ROBUST)
    x = load_data("digits", "test").x[1]
    attack = create_attack("pgd", num_steps=1, seed=96)
    trace = cached.run_attack(info, x, 8, attack, None, check=lambda: None)  # it is a 9
    found = honesty.check(info, trace, check_current=lambda: None, on_share=lambda share: None)
    assert [finding.name for finding in found] == ["attacked_images"]
    assert measured_words(found[0]) == "measured 100 %, fine up to 0 %"


def test_every_check_has_words():
    names = {check.__name__.removeprefix("check_") for check in CHECKS}
    assert names == TITLES.keys() == REASONS.keys()


def test_sentences_say_how_bad_it_is():
    info = checkpoint_info(ROBUST)
    x = load_data("digits", "test").x[1]
    trace = cached.run_attack(info, x, 9, create_attack("pgd", **ATTACK), None, check=lambda: None)
    doubt = Finding("converged", Severity.WARN, 0.03, 0.01, "…")
    alarm = Finding("gradients", Severity.FAIL, 1.0, 0.02, "…")
    assert trust_sentence([doubt], trace).startswith("Take this result with caution: a longer")
    assert trust_sentence([doubt, alarm], trace) == (
        "This result cannot be trusted: the gradients are zero or not finite."
    )
    moved = Finding("deterministic", Severity.FAIL, 0.31, 0.0, "…")
    assert measured_words(moved) == "outputs moved by 0.31, fine up to 0"


def test_the_loss_surface_waits_until_it_is_opened():
    page = open_on(MASKED)
    assert [expander.label for expander in page.expander if "loss" in expander.label]
    assert "How to read it" not in said(page)
    page.session_state["attack.surface"] = True
    check_no_error(page.run())
    assert "How to read it" in said(page)
