from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Slider

from app.page.compare import charts, measure
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import checkpoint_info, load_model
from robust_core.data import load_data
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.trace import trace_attack
from robust_core.gradients import predict_logits
from tests.app.examples import ATTACK, MASKED, ROBUST, STANDARD, masked_image, telling_image
from tests.app.page_driver import check, check_no_error, open_view, press, press_where_needed, said


def open_page(**more: Any) -> AppTest:
    state = {"model": STANDARD, "image": telling_image()[0], "with": ROBUST, "num_steps": 20}
    return press_where_needed(open_view("compare", state | more, timeout=60), "Run attack on all")


def test_each_model_has_its_verdict_on_the_same_image():
    page = open_page()
    label = telling_image()[1]
    assert any("PGD fools the standard model" in box.value for box in page.warning)
    assert any(f"{label} stays {label}: the robust model" in box.value for box in page.success)


def step_slider(page: AppTest) -> Slider:
    [slider] = [each for each in page.slider if each.label == "Recorded step"]
    return slider


def test_one_slider_moves_all_models():
    page = open_page()
    slider = step_slider(page)
    assert slider.value == slider.max
    check(slider.set_value(0).run())


def test_playing_begins_anew_goes_on_with_every_run_and_stops_at_the_end():
    page = check_no_error(press(open_page(num_steps=30), "Play"))
    shown = []
    while any(button.label == "Pause" for button in page.button):
        shown.append(step_slider(page).value)
        assert step_slider(page).disabled
        check(page.run())
    assert shown == list(range(2, 31, 2))
    assert step_slider(page).value == 30 and not step_slider(page).disabled


def test_a_pause_keeps_the_step_and_playing_goes_on_from_there():
    page = check_no_error(press(open_page(), "Play"))
    check(page.run())
    page = check_no_error(press(page, "Pause"))
    assert step_slider(page).value == 2 and not step_slider(page).disabled
    page = check_no_error(press(page, "Play"))
    assert step_slider(page).value == 3


@pytest.mark.parametrize("others", [ROBUST, f"{ROBUST},{MASKED},digits-trades"])
def test_two_to_four_models_fit(others: str):
    page = open_page(**{"with": others})
    assert len(page.multiselect[0].value) == others.count(",") + 1
    assert "Does it transfer?" in [each.value for each in page.subheader]


def test_a_single_model_asks_for_another():
    assert "at least one more model" in said(open_page(**{"with": ""}))


def test_the_matrix_over_test_images_names_its_attack_and_the_masked_model():
    page = open_page(**{"with": MASKED, "sample": "64"})
    passes = 64 * 4 * create_attack("pgd", **ATTACK).passes()
    assert f"Cost: {passes:,} forward-backward passes" in said(page)
    page = press_where_needed(page, "Measure transfer")
    assert "a sample of 64 test images" in said(page)
    assert "a sign of masked gradients" in said(page)


def test_the_curves_start_at_clean_accuracy_and_never_rise():
    page = press_where_needed(open_page(), "Measure curves")
    assert "a sample of 16 test images; bars are 95 % intervals" in said(page)
    infos = [checkpoint_info(name) for name in (STANDARD, ROBUST)]
    attack = create_attack("pgd", **ATTACK)
    curves = measure.measure_curves(infos, attack, 8, check=lambda: None, on_share=lambda _: None)
    for curve in curves:
        assert curve.values[0] == 0.0 and curve.values[-1] == pytest.approx(0.2)
        assert curve.accuracies[0] == float(curve.clean_correct.float().mean())
        assert curve.accuracies == sorted(curve.accuracies, reverse=True)
        assert curve.attacked_images <= measure.BISECTIONS * 8


def test_a_model_that_only_its_own_gradient_cannot_fool_is_named():
    page = open_page(**{"with": f"{ROBUST},{MASKED}", "image": masked_image()[0]})
    assert "masked withstands the attack on itself" in said(page)


def test_a_bad_link_says_so_and_the_page_works():
    page = open_page(sample="7", **{"with": "nobody"})
    assert "unknown number of test images '7'" in said(page)
    assert "unknown model 'nobody'" in said(page)


def test_an_image_crafted_on_a_model_is_judged_by_every_other():
    infos = [checkpoint_info(name) for name in (STANDARD, ROBUST)]
    images = load_data("digits", "test").subset(slice(3, 4))
    attack = create_attack("pgd", **ATTACK)
    models = [load_model(info.name) for info in infos]
    label = int(images.y[0])
    traces = [trace_attack(model, images.x[0], label, attack) for model in models]
    found = measure.image_transfer(infos, traces, check=lambda: None)
    assert np.allclose(found.sum(axis=2), 1.0, atol=1e-5)
    crafted = torch.from_numpy(traces[0].x_adv)[None]
    expected = predict_logits(models[1], crafted).softmax(dim=1)[0].numpy()
    assert np.allclose(found[0, 1], expected, atol=1e-6)
    assert np.array_equal(found[0, 0], traces[0].adversarial)


def test_the_measured_matrix_is_the_evaluators():
    infos = [checkpoint_info(name) for name in (STANDARD, ROBUST)]
    attack, shares = create_attack("pgd", **ATTACK), []
    matrix = measure.measure_transfer(infos, attack, 16, check=lambda: None, on_share=shares.append)
    images = load_data("digits", "test").sample(16)
    judge, surrogate = load_model(ROBUST), load_model(STANDARD)
    expected = evaluate(judge, images.x, images.y, attack, surrogate=surrogate)
    assert torch.equal(matrix[0][1].robust_correct, expected.robust_correct)
    assert torch.equal(
        matrix[1][1].robust_correct,
        evaluate(judge, images.x, images.y, attack).robust_correct,
    )
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert measure.known_transfer(infos, attack, 16) is matrix
    assert measure.known_transfer(infos[::-1], attack, 16) is None


def test_shown_classes_hold_every_models_winners_in_a_fixed_order():
    clean = np.array([[0.9, 0.1, 0, 0], [0.1, 0.1, 0.8, 0]], dtype=np.float32)
    final = np.array([[0, 0, 0.2, 0.8], [0, 0.2, 0.8, 0]], dtype=np.float32)
    assert charts.shown_classes(clean, final, 3) == [0, 2, 3]


def test_the_transfer_map_has_crafted_on_in_rows():
    shares = np.array([[0.0, 0.9], [0.4, 0.6]], dtype=np.float32)
    figure = charts.transfer_map(shares, [["a", "b"], ["c", "d"]], ["x", "y"], "accuracy")
    heat: Any = figure["data"][0]
    assert np.allclose(heat["z"], [[0.0, 90.0], [40.0, 60.0]])
    assert figure.to_dict()["layout"]["yaxis"]["title"]["text"] == "Crafted on"
    assert heat["zmin"] == 0 and heat["zmax"] == 100
