import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.page.latent import charts, layer_charts, measure, modes_measure, selection
from app.ui import models
from app.ui.measure import run
from app.ui.plain import in_markdown
from app.ui.traces import attack_image
from robust_core.analysis.inference_modes import strong_attack
from robust_core.analysis.latent import divergence_bound
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import checkpoint_info, load_trained, save_checkpoint
from robust_core.config.choice import Choice
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import predict_logits
from robust_core.methods.base import create_method
from tests.app.conftest import ROOT
from tests.app.page_driver import check, open_view, said
from tests.shelves import use_only

STANDARD, ATLD = "digits-standard", "digits-tiny_atld"
SMALL = {"discriminator_blocks": 1, "discriminator_width": 1, "epsilon": 0.1}
FGSM = {"attack": "fgsm", "epsilon": 0.1, "images": 50}


@pytest.fixture(scope="module", autouse=True)
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A shelf with a shipped model, and the same network with an untrained discriminator."""
    folder = tmp_path_factory.mktemp("checkpoints")
    (folder / "pretrained").mkdir()
    file = ROOT / "checkpoints" / "pretrained" / f"{STANDARD}.safetensors"
    shutil.copy(file, folder / "pretrained")
    with pytest.MonkeyPatch.context() as patch:
        use_only(folder, patch)
        info, (network, _) = checkpoint_info(STANDARD), load_trained(STANDARD)
        torch.manual_seed(0)
        method = create_method("atld", SMALL)
        method.attach(network)
        config = info.config.model_copy(update={"method": Choice(name="atld", parameters=SMALL)})
        save_checkpoint(
            folder / "pretrained" / f"{ATLD}.safetensors",
            network,
            config=config,
            method=method,
            class_names=info.class_names,
            epoch=1,
            card=info.card,
        )
        yield folder


def open_page(**query: Any) -> AppTest:
    return open_view("latent", FGSM | query)


def make(reference: str, target: int | None = None) -> measure.KeptSample:
    attack = create_attack("fgsm", epsilon=0.1)
    info = checkpoint_info(reference)
    return measure.make_sample(info, attack, target, 50)


@pytest.mark.slow
def test_the_finding_is_what_the_evaluator_says():
    page = open_page(model=STANDARD)
    images = models.load_images(checkpoint_info(STANDARD)).sample(50)
    network, _ = load_trained(STANDARD)
    attack = create_attack("fgsm", epsilon=0.1)
    attacked = predict_logits(network, attack(network, images.x, images.y)).argmax(dim=1)
    share = float((attacked == images.y).double().mean())
    assert share < 0.9
    assert f"FGSM lowers the accuracy from **100\u00a0%** to **{100 * share:.0f}\u00a0%**" in said(
        page
    )
    assert not page.error and not page.warning


@pytest.mark.slow
def test_numbers_stand_beside_the_map_with_noise_for_comparison():
    page = open_page(model=STANDARD)
    names = {metric.label for metric in page.metric}
    assert names == {"Centroid drift", "MMD", "Wasserstein", "10-NN overlap"}
    assert all(metric.delta.startswith("noise: ") for metric in page.metric)
    table = page.dataframe[0].value
    assert list(table["Class"]) == ["all", *"0123456789"]
    assert float(page.metric[0].value) == pytest.approx(table["Drift"][0], rel=0.01)


@pytest.mark.slow
def test_a_missing_discriminator_is_said_and_the_rest_is_shown():
    page = open_page(model=STANDARD)
    assert page.button_group(key="latent.roles").options == ["Clean", "Noisy", "Adversarial"]
    page.session_state["latent.tabs"] = "Discriminator"
    check(page.run())
    assert "This model has no discriminator" in said(page)
    for tab in ("Inference modes", "Step size of IMT"):
        page.session_state["latent.tabs"] = tab
        check(page.run())
        assert "This model has no discriminator" in said(page)


@pytest.mark.slow
def test_an_atld_model_shows_transformed_images_and_scores():
    page = open_page(model=ATLD, against="transformed")
    assert page.button_group(key="latent.roles").options[-1] == "Transformed"
    page.session_state["latent.tabs"] = "Discriminator"
    check(page.run())
    areas = [metric.label for metric in page.metric if metric.label.startswith("AUROC")]
    assert areas == ["AUROC, noisy", "AUROC, adversarial", "AUROC, transformed"]
    scores = make(ATLD).scores
    proved = divergence_bound(scores["clean"], scores["adversarial"])
    (shown,) = [metric for metric in page.metric if metric.label == "AUROC, adversarial"]
    number = round(proved.value, 2) + 0.0
    assert shown.delta == f"JS ≥ {number:.2f} ± {proved.margin:.2f} nats"
    assert "at most log 2 = 0.69 nats" in said(page)


@pytest.mark.slow
def test_the_inference_modes_are_compared_on_request():
    page = open_page(model=f"{ATLD}:imt", attack="fgsm")
    page.session_state["latent.tabs"] = "Inference modes"
    page.session_state["latent.uses.steps"] = 5
    check(page.run())
    assert "on 50 images, five times" in said(page)
    check(page.button(key="latent.modes.run").click().run())
    assert "under the worst case of all attacks here" in said(page)
    assert "APGD-5 (DLR), Linf 25.5/255, seed 0, 50 test images" in said(page)


def at_once(name, key, work, **_):
    return run(name, key, work)


@pytest.mark.slow
def test_the_comparison_agrees_with_the_evaluator_and_its_worst_case_is_the_worst(monkeypatch):
    info = checkpoint_info(ATLD)
    attack = strong_attack(info.num_classes, create_attack("fgsm", epsilon=0.1).threat_model, 5, 0)
    monkeypatch.setattr(modes_measure, "measure", at_once)
    report = modes_measure.comparison(info, attack, 50)
    assert report is not None
    images = models.load_images(info).sample(50)
    through = models.load_model(checkpoint_info(f"{ATLD}:imt"))
    base, _ = load_trained(ATLD)
    by_name = {result.name: result for result in report.results}
    replayed = evaluate(through, images.x, images.y, attack, surrogate=base)
    assert by_name["ATLD"].static >= replayed.robust_accuracy
    assert by_name["ATLD-"].static == by_name["ATLD-"].adaptive
    assert by_name["ATLD"].clean == replayed.clean_accuracy
    assert report.surrogate == STANDARD
    smoothly = models.load_model(checkpoint_info(f"{ATLD}:imt_smooth"))
    replayed = evaluate(through, images.x, images.y, attack, surrogate=smoothly)
    assert by_name["ATLD-"].smooth is None
    assert by_name["ATLD"].smooth is not None
    assert by_name["ATLD"].smooth >= replayed.robust_accuracy - 0.06  # other random starts
    for result in report.results:
        others = (result.clean, result.static, result.transfer, result.adaptive, result.smooth)
        assert result.worst <= min(value for value in others if value is not None)


@pytest.mark.slow
def test_the_step_size_is_varied_on_request():
    page = open_page(model=ATLD)
    page.session_state["latent.tabs"] = "Step size of IMT"
    page.session_state["latent.uses.steps"] = 5
    check(page.run())
    assert "50 images at 6 step sizes" in said(page)
    check(page.button(key="latent.steps.run").click().run())
    assert "The default step changes the accuracy under the static attack from" in said(page)
    assert "seed 0, 50 test images, bars: 95\u00a0% intervals" in said(page)


@pytest.mark.slow
def test_every_layer_is_measured_in_all_and_class_by_class():
    page = open_page(model=STANDARD, distance="overlap")
    assert page.button_group(key="latent.distance").value == "overlap"
    assert "lower means a stronger effect of the attack" in said(page)
    classes = page.selectbox(key="latent.layer_class")
    assert classes.options == ["all classes", *"0123456789"]
    check(classes.set_value(3).run())
    check(page.button_group(key="latent.distance").set_value("mmd").run())
    assert "Maximum mean discrepancy" in said(page)


def test_the_last_layer_moves_as_the_logits_do():
    sample = make(STANDARD)
    found = measure.layers(checkpoint_info(STANDARD), sample, "adversarial")
    assert [layer.layer for layer in found][-2:] == ["layers.7", "classifier"]
    network, _ = load_trained(STANDARD)
    clean, attacked = (
        predict_logits(network, sample.pictures[role]).double() for role in ("clean", "adversarial")
    )
    drift = float((attacked.mean(dim=0) - clean.mean(dim=0)).norm())
    assert found[-1].rows[0].drift == pytest.approx(drift, rel=1e-4)


def test_a_map_of_layers_frames_the_chosen_class():
    values = np.array([[0.1, 0.2], [0.3, np.nan]])
    figure = layer_charts.layer_map(["conv", "fc"], ["cat", "dog"], values, "MMD", marked=1)
    (frame,) = figure.to_plotly_json()["layout"]["shapes"]
    assert (frame["y0"], frame["y1"]) == (0.5, 1.5)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1e-6, ""),  # everything takes no wait
        (0.001, "A first look at 40 images. Press **Map the features** for PGD on 51 images."),
        (0.01, "A first look at 30 images, under FGSM with the same budget instead. Press"),
        (1.0, "This attack takes a while: press Map the features to start it."),
    ],
)
@pytest.mark.slow
def test_a_first_look_takes_no_wait(seconds: float, words: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "seconds_per_pass", lambda info, batch_size=1: seconds)
    page = open_page(model=STANDARD, attack="pgd", epsilon=0.11 + seconds / 100, images=51)
    assert (words or "PGD lowers the accuracy from") in said(page)
    assert ("lowers the accuracy from" in said(page)) == (seconds < 1)
    assert ("A first look" in said(page)) == ("first look" in words)


def test_misclassified_images_of_a_selection_come_first_and_all_are_exported():
    sample = make(STANDARD)
    ids = [f"{role}|{i}" for role in ("noisy", "adversarial", "clean") for i in range(6)]
    points = selection.selected_points(ids, sample)
    assert sorted(points) == sorted((role, int(i)) for role, i in (one.split("|") for one in ids))
    right = [bool(sample.predictions[role][i] == sample.images.y[i]) for role, i in points]
    assert right == sorted(right) and 0 < sum(right) < len(right)
    info = checkpoint_info(STANDARD)
    trace = attack_image(info, sample.images.x[0], 0, create_attack("fgsm", epsilon=0.1), None)
    layout = measure.lay_out(sample, measure.image_path(info, trace), "pca", 2, 0)
    rows = list(csv.DictReader(io.StringIO(selection.selection_table(points, sample, layout))))
    for row, (role, i) in zip(rows, points, strict=True):
        assert row["index"] == str(int(sample.images.index[i]))
        assert (row["point"], row["label"]) == (role, str(int(sample.images.y[i])))
        for each in ("clean", "adversarial"):
            assert row[f"{each}_prediction"] == str(int(sample.predictions[each][i]))
        place = [float(row["x"]), float(row["y"])]
        assert np.allclose(place, layout.places[role][i], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("layout", "dimensions"), [("pca", "2"), ("pca", "3"), ("tsne", "2")])
@pytest.mark.slow
def test_every_layout_draws(layout: str, dimensions: str):
    page = open_page(model=STANDARD, layout=layout, dimensions=dimensions, colour="class")
    assert not page.error
    assert "50 images. Circle: clean" in said(page)
    assert ("Points can be selected in 2-D" in said(page)) == (dimensions == "3")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"layout": "mds"}, "unknown layout 'mds'"),
        ({"images": "7"}, "images should be a whole number in [50, 400]"),
        ({"against": "clean"}, "unknown against 'clean'"),
        ({"distance": "mnd"}, "unknown distance 'mnd'"),
        ({"num_step": "3"}, "unknown parameter 'num_step'"),
    ],
)
def test_a_bad_link_gives_one_sentence_and_the_page_goes_on(query, sentence):
    page = open_page(model=STANDARD, **query)
    (problem,) = [warning.value for warning in page.warning]
    assert in_markdown(sentence) in problem
    assert len(page.metric) == 4


@pytest.mark.slow
def test_copying_the_link_puts_the_whole_state_into_the_address():
    query = {"model": ATLD, "colour": "class", "dimensions": "3", "against": "noisy", "seed": 4}
    query |= {"distance": "drift"}
    page = open_page(**query)
    page.session_state["latent.copy_link"] = {"copied": "anything"}
    check(page.run())
    state = {name: "".join(value) for name, value in page.query_params.items()}
    assert {name: str(value) for name, value in (FGSM | query).items()}.items() <= state.items()
    assert state["image"].startswith("digits/test/") and state["layout"] == "pca"
    assert said(open_page(**state)) == said(page)


def test_an_empty_catalogue_says_how_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    use_only(tmp_path, monkeypatch)
    page = open_page()
    assert "There is no model yet" in said(page)


def test_each_inference_mode_is_attacked_by_itself():
    base, through = make(ATLD), make(f"{ATLD}:imt")
    assert not torch.equal(base.pictures["adversarial"], through.pictures["adversarial"])
    assert torch.equal(base.features["clean"], through.features["clean"])


def test_a_target_leaves_its_own_images_out():
    sample = make(STANDARD, target=3)
    assert 3 not in sample.images.y and len(sample.images) < 50
    assert (sample.predictions["adversarial"] == 3).sum() > (sample.predictions["clean"] == 3).sum()


def test_noise_and_transformation_stay_within_their_budgets():
    sample = make(ATLD)
    x = sample.pictures["clean"]
    for role, reach in (("noisy", 0.1), ("adversarial", 0.1), ("transformed", 0.2)):
        assert float((sample.pictures[role] - x).abs().max()) <= reach + 1e-6


def test_the_path_of_an_image_begins_clean_and_ends_transformed():
    info, attack = checkpoint_info(ATLD), create_attack("pgd", epsilon=0.1, num_steps=4)
    images = models.load_images(info).sample(50)
    trace = attack_image(info, images.x[0], int(images.y[0]), attack)
    path = measure.image_path(info, trace)
    sample = make(ATLD)
    assert torch.allclose(path.features[0], sample.features["clean"][0], atol=1e-5)
    assert len(path.features) == path.num_iterates + 1
    layout = measure.lay_out(sample, path, "pca", 2, 0)
    assert np.allclose(layout.path[0], layout.places["clean"][0], atol=1e-4)


def test_points_of_a_map_say_which_image_they_are():
    cloud = charts.Cloud(
        "clean",
        np.eye(3, 2),
        np.array([0, 1, 1]),
        ["clean|0", "clean|1", "clean|2"],
        ["a", "b", "c"],
    )
    figure = charts.latent_map([cloud], None, class_names=["zero", "one"], axes=["1", "2"])
    traces = figure.to_plotly_json()["data"]
    assert [list(trace["customdata"]) for trace in traces] == [
        ["clean|0"],
        ["clean|1", "clean|2"],
    ]
    assert [trace["name"] for trace in traces] == ["zero", "one"]
