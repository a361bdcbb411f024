import shutil
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from app.page.retina import charts
from app.page.retina.sampling import decide, look, own_settings, sampled_values
from app.page.retina.settings import fixate, fixation
from app.ui import cached
from robust_core.checkpoints.card import versions
from robust_core.checkpoints.catalog import checkpoint_info, save_checkpoint
from robust_core.config.presets import preset
from robust_core.data import load_data
from robust_core.models.base import create_model
from robust_core.models.retina.classifier import RetinotopicClassifier, RetinotopicParameters
from robust_core.models.retina.sampler import expected_view, without_mean
from tests.app.conftest import ROOT
from tests.app.page_driver import check, labels, open_view, press, said

TINY, PLAIN = "imported/tiny-retina", "imported/digits-standard"
SAMPLER = {"backbone": "small_cnn", "backbone_width": 4, "normalisation": "digits", "num_views": 4}


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf with an untrained retinotopic network and a shipped one without a sampler."""
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    monkeypatch.setattr(cached, "seconds_per_pass", lambda info, batch_size=1: 0.001)
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
    save_checkpoint(path, network, config=checked, class_names=names, epoch=0, card=card)


def open_page(query: dict[str, Any] | None = None) -> AppTest:
    return open_view("retina", query)


def subheaders(page: AppTest) -> list[str]:
    return [element.value for element in page.subheader]


def network() -> RetinotopicClassifier:
    model = cached.load_model(checkpoint_info(TINY))
    assert isinstance(model, RetinotopicClassifier)
    return model


def test_the_sampler_is_shown_for_a_network_without_one() -> None:
    page = open_page({"model": PLAIN})
    assert "What becomes of the image there" in said(page)
    assert (
        f"looks at whole images, so only the sampler is shown. To see decisions, choose {TINY}"
        in said(page)
    )
    assert "What the model decides" not in subheaders(page)
    assert page.slider(key="retina.weight.any.digits").value == 0.9


def test_a_shelf_without_a_sampler_says_how_to_train_one(shelf: Path) -> None:
    (shelf / "tiny-retina.safetensors").unlink()
    assert "train one on the page Train with the method CIIV" in said(open_page())


def test_an_empty_shelf_gives_one_sentence(shelf: Path) -> None:
    for file in shelf.iterdir():
        file.unlink()
    assert "There is no checkpoint yet" in said(open_page())


def test_a_retinotopic_network_decides_by_its_views() -> None:
    page = open_page({"model": TINY})
    assert "What the model decides" in subheaders(page)
    assert "On the clean image the mean of 4 views says" in said(page)
    assert "the adversarial image" not in said(page)


def test_an_attack_puts_the_adversarial_image_beside_the_clean_one() -> None:
    page = press(open_page({"model": TINY}), "Attack this image")
    assert "On the adversarial image the mean of 4 views says" in said(page)
    assert "The same fixations, masks and pixel noise for both images." in said(page)
    assert "along one path of fixations" in said(page)


def test_the_measurement_waits_for_its_button(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.page.retina.randomness.EOT_SAMPLES", (1, 2))
    page = open_page({"model": TINY})
    assert "are right without an attack" not in said(page)
    page.select_slider(key="retina.num_images").set_value(12)
    page = press(page, "Measure")
    assert "Of 12 images" in said(page) and "attack on one view" in said(page)
    assert len(page.get("download_button")) == 3


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
        ({"num_samples": "many"}, "Samples per view should be a number in [1, 30]"),
        ({"image": "cifar10/test/1"}, "image should look like 'digits/test/17'"),
        ({"fovea": "1"}, "unknown part of the address 'fovea'"),
    ],
)
def test_a_bad_link_gives_one_sentence_and_the_page_goes_on(query, sentence) -> None:
    page = open_page(query)
    (problem,) = [warning.value for warning in page.warning]
    assert sentence in problem
    assert "What becomes of the image there" in said(page)


def test_a_moved_fixation_is_kept_within_the_image() -> None:
    info = checkpoint_info(TINY)
    assert fixation(info) == (16, 16)
    fixate(info)(99, -4)
    assert fixation(info) == (31, 0)
    st.session_state.clear()


def test_the_sampler_can_be_reset_to_the_network_s_own() -> None:
    page = open_page({"model": TINY, "weight": 0.5})
    page = press(page, "Reset the sampler")
    assert page.slider(key=f"retina.weight.{TINY}").value == 0.9
    assert "Reset the sampler" not in labels(page)


def test_the_views_drawn_are_those_the_network_decides_on() -> None:
    x = load_data("digits", "test").x[0]
    model, info = network(), checkpoint_info(TINY)
    settings = own_settings(info)
    glances = look(x, settings, None, seed=3)
    with torch.no_grad():
        views = model.sample_views(x[None], generator=torch.Generator().manual_seed(3))
        expected = model.outputs_of(views).logits[:, 0].softmax(dim=1)
    for glance, view, centre in zip(glances, views.images, views.centres, strict=True):
        torch.testing.assert_close(glance.view, view[0])
        assert glance.centre == centre
    found = decide(model, x, settings, None, seed=3, num_passes=2)
    torch.testing.assert_close(found.views[0], expected)
    assert not torch.equal(found.views[0], found.views[1])


def test_the_views_of_version_1_are_drawn_by_their_on_channels() -> None:
    x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))
    parameters = SAMPLER | {"version": "v1", "centres": "random", "num_views": 12}
    with torch.random.fork_rng():
        model = create_model("retinotopic", (3, 32, 32), 10, parameters)
    assert isinstance(model, RetinotopicClassifier)
    views = model.eval().sample_views(x[None], generator=torch.Generator().manual_seed(4))
    glances = look(x, model.settings, None, seed=4)
    assert tuple(glance.centre for glance in glances) == views.centres
    for glance, view in zip(glances, views.images, strict=True):
        torch.testing.assert_close(without_mean(glance.view[None])[0], view[0, :3])


def test_many_samples_come_close_to_the_expected_view() -> None:
    x = load_data("digits", "test").x[0]
    settings = RetinotopicParameters.create({"normalisation": "digits", "num_samples": 100})
    (glance,) = look(x, settings, (5, 16), seed=0)
    expected = expected_view(
        sampled_values(x, settings)[None], (5, 16), settings.weight, settings.density
    )
    assert (glance.view - expected[0]).abs().mean() < 0.05


def test_the_toy_loses_its_colours_at_the_released_weight() -> None:
    page = open_page({"model": PLAIN})
    page.session_state["retina.toy"] = True
    check(page.run())
    assert "At w = 0.80" in said(page) and "erases the colours" in said(page)
    check(page.slider(key="retina.toy.weight").set_value(0.9).run())
    assert "pale channel is on in 94% of the samples and a full one in 100%" in said(page)


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
