from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.page.hard_pairs import charts, map_charts, measure
from app.ui import models
from app.ui.plain import in_markdown
from robust_core.analysis.confusion_run import ConfusionPlan, ConfusionRun
from robust_core.analysis.hard_classes import gradient_share, hardest_classes
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import checkpoint_info, load_model
from robust_core.data import load_data
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import predict_logits
from tests.app.examples import MASKED, ROBUST, STANDARD
from tests.app.page_driver import check, open_view, press, said

SPAT = "digits-spat"
SMALL = {"num_images": 60, "num_steps": 5, "epsilon": 0.1, "norm": "Linf"}


def open_page(query: dict[str, Any] | None = None) -> AppTest:
    return open_view("hard_pairs", query)


def run_of(name: str, **more: Any) -> ConfusionRun:
    plan = ConfusionPlan.create({**SMALL, **more})
    return measure.run_confusion(checkpoint_info(name), plan)


def show(view: str, model: str = STANDARD) -> AppTest:
    page = open_page({"model": model, "view": view} | SMALL)
    if any("Press **Run attack**" in info.value for info in page.info):
        press(page, "Run attack")
    assert not page.error
    return page


@pytest.mark.slow
def test_the_first_visit_shows_what_takes_no_wait_and_says_what_all_costs(monkeypatch):
    monkeypatch.setattr(models, "seconds_per_pass", lambda info, batch_size=1: 0.0009)
    page = open_page({"num_images": 359})  # a plan that no other test runs
    assert "A first look at 50 of 359 images. Press **Run attack**" in page.info[0].value
    assert "Cost: 7,180 forward-backward passes" in said(page)
    assert "on 50 test images: clean accuracy" in said(page)
    press(page, "Run attack")
    assert "on 359 test images" in said(page) and "first look" not in said(page)


@pytest.mark.slow
def test_a_model_too_slow_for_a_first_look_shows_its_card(monkeypatch):
    monkeypatch.setattr(models, "seconds_per_pass", lambda info, batch_size=1: 1.0)
    page = open_page({"model": SPAT, "num_images": 358})
    assert "too slow for a first look" in page.info[0].value
    card = checkpoint_info(SPAT).card
    assert card is not None
    lowest = min(card.results_of(""), key=lambda one: one.accuracy)
    assert f"of {lowest.num_images} test images stay correct" in said(page)
    older = open_page({"model": ROBUST, "num_images": 358})  # its card does not say it by image
    assert "too slow" in said(older) and "The card says" not in said(older)


@pytest.mark.slow
def test_the_run_agrees_with_the_evaluator():
    run = run_of(STANDARD)
    images = load_data("digits", "test").sample(60)
    attack = create_attack("pgd", epsilon=0.1, num_steps=5, random_start=False)
    report = evaluate(load_model(STANDARD), images.x, images.y, attack)
    assert torch.equal(run.prediction, report.prediction)
    assert torch.equal(run.confusion().attacked_correct.diag().sum(), report.robust_correct.sum())
    assert run.steps.shape == (6, 60)
    assert torch.equal(run.steps[0], run.prediction), "it starts at the image itself"
    assert torch.equal(run.path().counts[-1], run.confusion().attacked)


def test_one_image_alone_ends_where_it_ended_among_the_others():
    run = run_of(STANDARD)
    for place in torch.where(run.attacked != run.images.y)[0][:5].tolist():
        alone = run.images.subset([place])
        model = load_model(STANDARD)
        x_adv = run.attack(model, alone.x, alone.y)
        assert int(predict_logits(model, x_adv).argmax()) == int(run.attacked[place])


def test_the_cosines_are_those_of_features_and_weights():
    run, model = run_of(STANDARD), load_model(STANDARD)
    assert run.cosines is not None
    head = model.classifier
    assert isinstance(head, torch.nn.Linear)
    z = model.features(run.images.x)
    lengths = z.norm(dim=1)[:, None] * head.weight.norm(dim=1)
    assert torch.allclose(run.cosines * lengths + head.bias, model(run.images.x), atol=1e-3)


@pytest.mark.slow
def test_the_map_shows_the_images_of_a_cell_with_a_way_to_the_attack():
    run = run_of(STANDARD)
    page = show("Confusion")
    counts = run.confusion().attacked.clone().fill_diagonal_(-1)
    label, predicted = divmod(int(counts.argmax()), 10)
    assert page.selectbox(key="hard_pairs.labelled.digits").value == label
    assert page.selectbox(key="hard_pairs.predicted.digits").value == predicted
    place = run.cell(label, predicted)
    right = run.prediction == run.images.y
    fooled, before = int(right[place].sum()), int(right[run.images.y == label].sum())
    assert (
        f"**{fooled} of {before} correctly classified images** of {label} are predicted as "
        f"{predicted} under attack."
    ) in said(page)
    empty = torch.where(counts[label] == 0)[0][0]
    check(page.selectbox(key="hard_pairs.predicted.digits").set_value(int(empty)).run())
    assert "There is no image in this cell" in said(page)


@pytest.mark.slow
def test_an_image_that_was_wrong_before_does_not_count_as_fooled():
    run = run_of(STANDARD, num_images=360, num_steps=1, epsilon=0.0)
    wrong = torch.where(run.prediction != run.images.y)[0]
    assert len(wrong), "without a wrong image this test shows nothing"
    label, predicted = int(run.images.y[wrong[0]]), int(run.attacked[wrong[0]])
    query = {"model": STANDARD, "num_images": 360, "num_steps": 1, "epsilon": 0.0, "norm": "Linf"}
    page = open_page(query | {"labelled": label, "predicted": predicted})
    if any("Press **Run attack**" in info.value for info in page.info):
        press(page, "Run attack")
    assert "**0 of " in said(page) and f"predicted as {predicted} under attack" in said(page)
    assert (
        f"{len(run.cell(label, predicted))} more here are misclassified without an attack, too."
        in said(page)
    )


@pytest.mark.slow
def test_the_denominator_switch_and_all_maps():
    page = show("Confusion")
    assert "class in the row (all images)" in said(page)
    check(page.segmented_control(key="hard_pairs.among").set_value("clean_correct").run())
    assert "class in the row (correct only)" in said(page)
    for name in ("Clean", "Difference", "Under attack"):
        check(page.segmented_control(key="hard_pairs.map").set_value(name).run())
        assert not page.error


@pytest.mark.parametrize(("model", "number"), [(STANDARD, 0), (MASKED, 1)])
def test_a_masked_gradient_is_named(model, number):
    warnings = [one.value for one in show("Pairs", model).warning]
    assert ["masks its gradient" in one for one in warnings] == [True] * number


def test_pairs_are_ranked_and_entropy_told():
    page = show("Pairs")
    pairs, spread = (table.value for table in page.dataframe)
    assert list(pairs["Mean"]) == sorted(pairs["Mean"], reverse=True)
    assert pairs["Symmetry"].between(0, 1).all() and spread["Entropy"].between(0, 1).all()


@pytest.mark.slow
def test_predictions_follow_the_step_slider_and_epsilon():
    page = show("Where they go")
    label = page.selectbox(key="hard_pairs.labelled.digits").value
    check(page.slider(key="hard_pairs.step").set_value(0).run())
    assert f"100\u00a0% of class {label} are classified correctly" in said(page)
    check(page.slider(key="hard_pairs.step").set_value(5).run())
    assert f"100\u00a0% of class {label} are classified correctly" not in said(page)
    press(page, "Vary epsilon")
    slider = next(one for one in page.select_slider if one.key == "hard_pairs.radius")
    assert slider.value == "25.5/255"
    assert len(slider.options) == len(measure.EPSILONS)


def test_similarity_and_its_rank_correlation():
    page = show("Similarity")
    assert [metric.label for metric in page.metric] == ["Spearman's rank correlation"] * 2
    assert all(-1 <= float(metric.value) <= 1 for metric in page.metric)


@pytest.mark.slow
def test_the_gradient_view_says_which_class_has_the_largest_share(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "seconds_per_pass", lambda info, batch_size=1: 1.0)
    page = show("Gradient")
    assert [metric.label for metric in page.metric] == [
        "Gradient share of hardest class",
        "Rank correlation",
    ]
    assert "Cost: 540 forward-backward passes" in said(page)
    press(page, "Measure alignment of perturbations")
    assert len(page.metric) == 4
    assert page.metric[0].delta == "uniform: 11\u00a0%"
    run = run_of(STANDARD)
    shares = run.confusion().attacked_shares()
    (table,) = (frame.value for frame in page.dataframe)
    weights = gradient_share(run.logits, run.images.y)
    held = torch.tensor([weights[i, j] for i, j in enumerate(hardest_classes(shares)) if j >= 0])
    assert int(page.metric[0].value.removesuffix("\u00a0%")) == pytest.approx(
        100 * float(held.mean()), abs=0.6
    )
    hardest = table.to_dict("records")[0]
    first, second = map(int, hardest["Pair"].split(" → "))
    assert hardest["Gradient share"] == pytest.approx(100 * float(weights[first, second]))


@pytest.mark.slow
def test_cosine_logits_can_be_scaled_as_in_training():
    page = show("Gradient", SPAT)
    raw = int(page.metric[0].value.removesuffix("\u00a0%"))
    check(page.button_group(key="hard_pairs.logit_scale").set_value(8.0).run())
    assert int(page.metric[0].value.removesuffix("\u00a0%")) > raw
    assert not any(group.key == "hard_pairs.logit_scale" for group in show("Gradient").button_group)


def test_the_run_keeps_what_was_attacked():
    run, model = run_of(STANDARD), load_model(STANDARD)
    assert float((run.x_adv - run.images.x).abs().max()) <= 0.1 + 1e-6
    assert torch.equal(predict_logits(model, run.x_adv).argmax(dim=1), run.attacked)
    assert torch.equal(predict_logits(model, run.images.x), run.logits)


@pytest.mark.slow
def test_two_models_are_compared_on_the_same_images():
    query = {"model": STANDARD, "other": ROBUST, "view": "Two models"}
    page = open_page(query | SMALL | {"num_images": 50})
    if any("Press **Run attack**" in info.value for info in page.info):
        press(page, "Run attack")
    press(page, f"Attack {ROBUST}")
    runs = [run_of(name, num_images=50) for name in (STANDARD, ROBUST)]
    right = [each.confusion().attacked_correct.diag().sum() / 50 for each in runs]
    for name, share in zip((STANDARD, ROBUST), right, strict=True):
        assert f"**{name}**" in said(page) and f"**{100 * share:.0f}\u00a0%**" in said(page)
    assert "exact McNemar test, p = " in said(page)
    changes = page.dataframe[0].value["Change"].abs().tolist()
    assert changes == sorted(changes, reverse=True) and len(changes) <= 12
    page.session_state["hard_pairs.copy_link"] = {"copied": "anything"}
    check(page.run())
    assert page.query_params["other"] in (ROBUST, [ROBUST])


def test_a_model_is_never_compared_with_itself():
    page = open_page({"model": ROBUST, "other": ROBUST, "view": "Two models"} | SMALL)
    if any("Press **Run attack**" in info.value for info in page.info):
        press(page, "Run attack")
    picker = page.selectbox(key="hard_pairs.other")
    assert picker.value != ROBUST
    assert all("shapes" not in option and ROBUST not in option for option in picker.options)


def test_the_optimum_of_the_self_paced_loss_is_inside():
    page = show("Self-paced loss")
    assert "a cosine of **0.6** with the label and **-0.1**" in said(page)
    assert "0.383 nats" in said(page)
    assert "was not trained with this loss" in said(page)


@pytest.mark.slow
def test_targeted_attacks_wait_for_their_button():
    page = open_page({"model": ROBUST, "view": "Targeted"} | SMALL | {"num_images": 20})
    press(page, "Run attack")
    assert "Cost: 900 forward-backward passes" in said(page)
    assert not page.metric
    press(page, "Run targeted attacks")
    assert len(page.metric) == 2
    check(page.run())
    assert len(page.metric) == 2, "a result that is known stays"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"model": "digits-standrad"}, "did you mean 'digits-standard'?"),
        ({"view": "Pears"}, "did you mean 'Pairs'?"),
        ({"among": "none"}, "unknown among"),
        ({"other": "digits-pgdat"}, "did you mean 'digits-pgd_at'?"),
        ({"labelled": "twelve"}, "unknown class as labelled 'twelve'"),
        ({"image": "digits/test/999999"}, "no image 999999"),
        ({"data": "cifar10"}, "data should be 'digits'"),
        ({"epsilon": "8"}, "did you mean 8/255?"),
        ({"num_images": "1000000"}, "num_images must be <= 1000"),
        ({"colour": "red"}, "unknown part of the address"),
    ],
)
@pytest.mark.slow
def test_a_bad_link_gives_one_clear_sentence(query, sentence):
    page = open_page(query)
    problems = [warning.value for warning in page.warning if "link" in warning.value]
    assert len(problems) == 1 and in_markdown(sentence) in problems[0]


@pytest.mark.slow
def test_copying_the_link_puts_the_whole_state_into_the_address():
    query = {"model": ROBUST, "view": "Pairs", "among": "clean_correct", "loss": "margin"}
    query |= {"labelled": "3", "predicted": "9", "num_steps": "7", "num_images": "50"}
    page = open_page(query)
    page.session_state["hard_pairs.copy_link"] = {"copied": "anything"}
    check(page.run())
    state = {name: "".join(value) for name, value in page.query_params.items()}
    assert query.items() <= state.items()
    assert said(open_page(state)) == said(page)


@pytest.mark.slow
def test_an_image_in_the_link_is_the_chosen_one_everywhere():
    images = load_data("digits", "test")
    page = open_page({"image": images.image_id(3)})
    assert page.session_state["attack.image.digits/test"] == int(images.index[3])
    assert page.session_state["hard_pairs.labelled.digits"] == int(images.y[3])


def shares() -> np.ndarray:
    return np.array([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0], [np.nan] * 3], dtype=np.float32)


def test_the_map_masks_the_diagonal_and_diverges_around_zero():
    plain = map_charts.confusion_map(shares(), None, "abc").to_dict()
    colour = plain["layer"][0]["encoding"]["color"]
    assert "datum.label === datum.predicted" in colour["condition"]["test"]
    assert colour["condition"]["value"] == map_charts.MASKED
    assert colour["scale"]["domain"] == [0, 0.5], "not the diagonal's 0.8"
    signed = map_charts.confusion_map(-shares(), None, "abc", signed=True).to_dict()
    assert signed["layer"][0]["encoding"]["color"]["scale"]["domain"] == [-0.5, 0.5]


def test_the_picture_of_the_map_has_the_same_colours_enlarged():
    pixels = map_charts.map_pixels(shares(), signed=False, side=4)
    assert pixels.shape == (12, 12, 3)
    assert (pixels[:4, :4] == (0x8A, 0x94, 0xA3)).all() and (pixels[8:] == pixels[0, 0]).all()
    assert tuple(pixels[0, 4]) != tuple(pixels[4, 0])


def test_cosines_diverge_around_zero_and_leave_out_what_is_not_known():
    cosines = np.array([[1.0, -0.4], [np.nan, 1.0]], dtype=np.float32)
    chart = map_charts.cosine_map(cosines, "ab", columns="Second class").to_dict()
    colour = chart["layer"][0]["encoding"]["color"]
    assert colour["scale"]["domain"] == pytest.approx([-0.4, 0.4])
    words = [cell["words"] for cell in chart["data"]["values"]]
    assert words == ["+100", "-40", "", "+100"]


def test_curves_leave_out_classes_that_are_never_taken():
    path = np.array([[1.0, 0.0, 0.0], [0.4, 0.59, 0.01]], dtype=np.float32)
    figure = charts.label_curves([0, 1], path, 0, "abc", title="Step", now=1)
    assert [trace["name"] for trace in figure.to_dict()["data"]] == ["a (label)", "b"]
