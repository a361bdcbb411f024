import shutil
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from app.navigation import page_script
from app.page.retina import charts
from app.page.retina.settings import fixate, fixation
from app.ui import models
from app.ui.plain import in_markdown
from robust_core.checkpoints import catalog
from robust_core.checkpoints.card import Card, versions
from robust_core.checkpoints.catalog import checkpoint_info, save_checkpoint
from robust_core.config.presets import preset
from robust_core.data import load_data
from robust_core.gradients import predict_logits
from robust_core.models.base import create_model
from robust_core.models.retina.classifier import RetinotopicClassifier
from tests.app.conftest import ROOT
from tests.app.page_driver import check, labels, open_view, press, said
from tests.shelves import use_only

TINY, PLAIN = "imported/tiny-retina", "imported/digits-standard"
SAMPLER = {"backbone": "small_cnn", "backbone_width": 4, "normalisation": "digits", "num_views": 4}


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained retinotopic network, and a shipped one without a sampler."""
    use_only(tmp_path, monkeypatch)
    monkeypatch.setattr(models, "seconds_per_pass", lambda info, batch_size=1: 0.001)
    folder = tmp_path / "imported"
    folder.mkdir()
    shutil.copy(ROOT / "checkpoints" / "pretrained" / "digits-standard.safetensors", folder)
    give_network(folder / "tiny-retina.safetensors")
    return folder


def give_network(path: Path) -> None:
    config = preset("digits", "standard").model_dump(mode="json")
    config["model"] = {"name": "retinotopic", "parameters": SAMPLER}
    checked = type(preset("digits", "standard")).create(config)
    card = {
        "split": "test",
        "num_images": 360,
        "clean_accuracy": 0.1,
        "clean_interval": [0.08, 0.14],
        "robust": [
            {
                "attack": {
                    "name": checked.test_attack().name,
                    "parameters": checked.test_attack().model_dump(mode="json"),
                },
                "accuracy": 0.1,
                "interval": [0.08, 0.14],
                "num_images": 360,
            }
        ],
        "epoch": 0,
        "seed": 0,
        "versions": versions(),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create_model("retinotopic", (1, 32, 32), 10, SAMPLER)
    names = tuple("0123456789")
    save_checkpoint(
        path, network, config=checked, class_names=names, epoch=0, card=Card.create(card)
    )


def open_page(query: dict[str, Any] | None = None) -> AppTest:
    return open_view("retina", query)


def subheaders(page: AppTest) -> list[str]:
    return [element.value for element in page.subheader]


def network() -> RetinotopicClassifier:
    model = models.load_model(checkpoint_info(TINY))
    assert isinstance(model, RetinotopicClassifier)
    return model


def test_the_sampler_is_shown_for_a_network_without_one() -> None:
    page = open_page({"model": PLAIN})
    assert "From the image to the views" in said(page)
    assert "classifies whole images, so only the sampler is shown" in said(page)
    assert f"To see predictions of views, choose {TINY}" in said(page)
    assert "Predictions of the views" not in subheaders(page)
    assert page.slider(key="retina.weight.any.digits").value == 0.9


@pytest.mark.slow
def test_the_page_opens_with_a_retina_and_leaves_the_choice_of_other_pages_alone() -> None:
    page = open_view("attack", {"model": PLAIN})
    page.query_params.clear()
    check(page.switch_page(page_script("retina")).run())
    assert page.selectbox(key="attack.model.instead").value == TINY
    assert f"{PLAIN} has no retina: this is {TINY}. Other pages keep {PLAIN}" in said(page)
    page.session_state["retina.copy_link"] = {"copied": "anything"}
    check(page.run())
    assert "".join(page.query_params["model"]) == TINY
    page.query_params.clear()
    check(page.switch_page(page_script("attack")).run())
    assert page.selectbox(key="attack.model").value == PLAIN
    check(page.switch_page(page_script("retina")).run())
    check(page.selectbox(key="attack.model.instead").set_value(PLAIN).run())  # asked for here
    assert "only the sampler is shown" in said(page)
    assert page.selectbox(key="attack.model").value == PLAIN


@pytest.mark.slow
def test_the_page_says_whether_the_model_is_right() -> None:
    images, network = load_data("digits", "test"), catalog.load_model(PLAIN)
    right = predict_logits(network, images.x).argmax(1) == images.y
    for wanted, words in ((right, "**Right**: "), (~right, "**Wrong**: ")):
        image = images.image_id(int(wanted.int().argmax()))
        assert words + PLAIN in said(open_page({"model": PLAIN, "image": image}))
    assert f"{TINY} predicts" in said(open_page({"model": TINY}))
    assert "in one pass of 4 views" in said(open_page({"model": TINY}))


def test_without_a_sampler_the_page_says_how_to_train_one(checkpoints: Path) -> None:
    (checkpoints / "tiny-retina.safetensors").unlink()
    assert "train one with the method CIIV on the Train page" in said(open_page())


def test_without_a_checkpoint_there_is_one_sentence(checkpoints: Path) -> None:
    for file in checkpoints.iterdir():
        file.unlink()
    assert "There is no model yet" in said(open_page())


def test_a_retinotopic_network_predicts_from_its_views() -> None:
    page = open_page({"model": TINY})
    assert "Predictions of the views" in subheaders(page)
    assert "On the clean image the mean of 4 views predicts" in said(page)
    assert "the adversarial image" not in said(page)


@pytest.mark.slow
def test_an_attack_puts_the_adversarial_image_beside_the_clean_one() -> None:
    page = press(open_page({"model": TINY}), "Attack this image")
    assert "On the adversarial image the mean of 4 views predicts" in said(page)
    assert "The same fixations, masks and pixel noise for both images." in said(page)
    assert "Clean and adversarial probability, view by view" in said(page)


@pytest.mark.slow
def test_the_measurement_waits_for_its_button(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.page.retina.measure.EOT_SAMPLES", (1, 2))
    page = open_page({"model": TINY})
    assert "are correct without an attack" not in said(page)
    page.select_slider(key="retina.num_images").set_value(12)
    page = press(page, "Measure")
    assert "Of 12 images" in said(page) and "attack on one view" in said(page)
    assert len(page.get("download_button")) == 3


@pytest.mark.slow
def test_a_link_holds_the_whole_state() -> None:
    query = {"model": TINY, "image": "digits/test/5", "column": 3, "row": 30, "seed": 7}
    query |= {"num_samples": 9, "weight": 0.5, "threshold": 0.8, "exponent": 1.0}
    page = open_page(query)
    assert not page.warning
    page.session_state["retina.copy_link"] = {"copied": "anything"}
    check(page.run())
    state = {name: "".join(value) for name, value in page.query_params.items()}
    assert state == {name: str(value) for name, value in query.items()}


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"model": "nothing"}, "unknown model 'nothing'"),
        ({"column": "32"}, "column should be a whole number in [0, 31], got '32'"),
        ({"row": "-1"}, "row should be a whole number in [0, 31], got '-1'"),
        ({"weight": "0"}, "Noise weight w should be a number in [0.05, 2.0], got '0'"),
        ({"num_samples": "many"}, "Samples per view should be a whole number in [1, 30]"),
        ({"image": "cifar10/test/1"}, "image should look like 'digits/test/17'"),
        ({"fovea": "1"}, "unknown part of the address 'fovea'"),
    ],
)
def test_a_bad_link_gives_one_sentence_and_the_page_goes_on(query, sentence) -> None:
    page = open_page(query)
    (problem,) = [warning.value for warning in page.warning]
    assert in_markdown(sentence) in problem
    assert "From the image to the views" in said(page)


def test_a_moved_fixation_is_kept_within_the_image() -> None:
    st.session_state.clear()
    info = checkpoint_info(TINY)
    assert fixation(info) == (16, 16)
    fixate(info)(99, -4)
    assert fixation(info) == (31, 0)
    st.session_state.clear()


@pytest.mark.slow
def test_the_sampler_can_be_reset_to_the_network_s_own() -> None:
    page = open_page({"model": TINY, "weight": 0.5})
    page = press(page, "Reset the sampler")
    assert page.slider(key=f"retina.weight.{TINY}").value == 0.9
    assert "Reset the sampler" not in labels(page)


@pytest.mark.slow
def test_the_toy_loses_its_colours_at_the_released_weight() -> None:
    page = open_page({"model": PLAIN})
    page.session_state["retina.toy"] = True
    check(page.run())
    assert "At w = 0.80" in said(page) and "erases the colours" in said(page)
    check(page.slider(key="retina.toy.weight").set_value(0.9).run())
    assert "pale channel is on in 94\u00a0% of the samples and a full one in 100\u00a0%" in said(
        page
    )


def traces(figure: go.Figure) -> list[Any]:
    return list(figure.select_traces())


def test_figures_show_the_numbers_they_are_given() -> None:
    distance = np.array([[0.0, 1.0], [1.0, 2.0]])
    masks = np.ones((3, 2, 2), dtype=bool)
    curve = traces(charts.keep_curve(distance, 1 - distance / 10, masks, 1.0))
    assert list(curve[0].y) == [100, 90, 90, 80]
    assert list(curve[1].y) == [100, 100, 100]
    votes = charts.Votes("Clean", np.array([1, 1, 1, 0]), np.array([1]))
    bars = traces(charts.vote_bars([votes], ["a", "b", "c"]))
    assert list(bars[0].x) == ["a", "b"] and list(bars[0].y) == [25, 75]
    own, pale = traces(charts.colour_curve(0.8, 0.8))
    erased = own.x <= 0.8 + 1e-9
    assert np.allclose(own.y[erased], 100) and np.allclose(pale.y[erased], 100)
    assert (own.y[own.x > 0.81] > pale.y[own.x > 0.81]).all()


def test_the_page_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    open_page({"model": TINY, "seed": 5})
    assert torch.equal(torch.rand(1), expected)
