import json
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.page.compare import charts, measure
from app.ui.browser.assets import FOLDER
from app.ui.measure import known, run
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import checkpoint_info, load_model
from robust_core.data import load_data
from robust_core.evaluation.trace import trace_attack
from robust_core.evaluation.transfer import trace_transfer, transfer_matrix
from tests.app.examples import ATTACK, MASKED, ROBUST, STANDARD, masked_image, telling_image
from tests.app.page_driver import check, open_view, press_where_needed, said


def open_page(**more: Any) -> AppTest:
    state = {"model": STANDARD, "image": telling_image()[0], "with": ROBUST, "num_steps": 20}
    return press_where_needed(open_view("compare", state | more, timeout=60), "Run attack on all")


def test_each_model_has_its_verdict_on_the_same_image():
    page = open_page()
    label = telling_image()[1]
    assert any("PGD fools the standard model" in box.value for box in page.warning)
    assert any(f"{label} stays {label}: the robust model" in box.value for box in page.success)


def player(page: AppTest) -> dict[str, Any]:
    """What the browser gets to play."""
    elements: list[Any] = list(page.get("bidi_component"))
    [data] = [one.proto.json for one in elements if one.proto.component_name.endswith("_player")]
    return json.loads(data)


def test_one_player_has_every_model_and_every_step():
    models = player(open_page())["models"]
    assert [model["name"] for model in models] == ["standard", "pgd_at"]
    assert [len(model["frames"]) for model in models] == [21, 21]


def test_one_gain_amplifies_the_perturbations_of_all_models():
    page = open_page()
    before = player(page)
    [gain] = [each for each in page.slider if each.label == "Perturbation amplification (×)"]
    after = player(check(gain.set_value(50).run()))
    assert after["id"] == before["id"] and after["gain"] == "50"
    for old, new in zip(before["models"], after["models"], strict=True):
        assert old["frames"][-1]["delta"] != new["frames"][-1]["delta"]
        assert old["frames"][-1]["adversarial"] == new["frames"][-1]["adversarial"]


def test_models_have_the_same_colours_in_the_player_as_in_the_charts():
    style = (FOLDER / "player.css").read_text(encoding="utf-8")
    for number, (colour, _, _) in enumerate(charts.STYLES):
        assert f".model{number} {{ stroke: {colour};" in style


@pytest.mark.parametrize("others", [ROBUST, f"{ROBUST},{MASKED},digits-trades"])
def test_two_to_four_models_fit(others: str):
    page = open_page(**{"with": others})
    assert len(page.multiselect[0].value) == others.count(",") + 1
    assert "Transferability" in [each.value for each in page.subheader]


def test_a_single_model_asks_for_another():
    assert "at least one more model" in said(open_page(**{"with": ""}))


@pytest.mark.slow
def test_the_matrix_over_test_images_names_its_attack_and_the_masked_model():
    page = open_page(**{"with": MASKED, "sample": "64"})
    passes = 64 * 4 * create_attack("pgd", **ATTACK).passes()
    assert f"Cost: {passes:,} forward-backward passes" in said(page)
    page = press_where_needed(page, "Measure transfer")
    assert "a sample of 64 test images" in said(page)
    assert "a sign of masked gradients" in said(page)


def at_once(name, key, work, **_):
    return run(name, key, work)


@pytest.mark.slow
def test_the_curves_start_at_clean_accuracy_and_never_rise(monkeypatch):
    page = press_where_needed(open_page(), "Measure curves")
    assert "a sample of 16 test images; bars are 95\u00a0% intervals" in said(page)
    infos = [checkpoint_info(name) for name in (STANDARD, ROBUST)]
    attack = create_attack("pgd", **ATTACK)
    monkeypatch.setattr(measure, "measure", at_once)
    curves = measure.curves(infos, attack, 8)
    assert curves is not None
    for curve in curves:
        assert curve.values[0] == 0.0 and curve.values[-1] == pytest.approx(0.2)
        assert curve.accuracies[0] == float(curve.clean_correct.float().mean())
        assert curve.accuracies == sorted(curve.accuracies, reverse=True)
        assert curve.attacked_images <= measure.BISECTIONS * 8


@pytest.mark.slow
def test_a_model_that_only_its_own_gradient_cannot_fool_is_named():
    page = open_page(**{"with": f"{ROBUST},{MASKED}", "image": masked_image()[0]})
    assert "masked resists the attack on itself" in said(page)


def test_a_bad_link_says_so_and_the_page_works():
    page = open_page(sample="7", **{"with": "nobody"})
    assert "unknown number of test images '7'" in said(page)
    assert "unknown model 'nobody'" in said(page)


def test_an_adversarial_image_is_evaluated_on_every_other_model():
    infos = [checkpoint_info(name) for name in (STANDARD, ROBUST)]
    images = load_data("digits", "test").subset(slice(3, 4))
    attack = create_attack("pgd", **ATTACK)
    models = [load_model(info.name) for info in infos]
    label = int(images.y[0])
    traces = [trace_attack(model, images.x[0], label, attack) for model in models]
    found = measure.image_transfer(infos, traces)
    assert torch.equal(found, trace_transfer(models, traces))


@pytest.mark.slow
def test_the_measured_matrix_is_the_engines(monkeypatch):
    infos = [checkpoint_info(name) for name in (STANDARD, ROBUST)]
    attack = create_attack("pgd", **ATTACK)
    monkeypatch.setattr(measure, "measure", at_once)
    matrix = measure.sample_transfer(infos, attack, 16)
    assert matrix is not None
    images = load_data("digits", "test").sample(16)
    models = [load_model(info.name) for info in infos]
    expected = transfer_matrix(models, images.x, images.y, attack)
    assert torch.equal(matrix.robust_accuracy, expected.robust_accuracy)
    assert known("compare.transfer", (infos, attack, 16)) is matrix
    assert known("compare.transfer", (infos[::-1], attack, 16)) is None


def test_the_transfer_map_has_surrogates_in_rows():
    shares = np.array([[0.0, 0.9], [0.4, 0.6]], dtype=np.float32)
    figure = charts.transfer_map(shares, [["a", "b"], ["c", "d"]], ["x", "y"], "accuracy")
    heat: Any = figure["data"][0]
    assert np.allclose(heat["z"], [[0.0, 90.0], [40.0, 60.0]])
    assert figure.to_dict()["layout"]["yaxis"]["title"]["text"] == "Surrogate model"
    assert heat["zmin"] == 0 and heat["zmax"] == 100
