"""The pages on a person's own data with one test image a class, or with a dead network."""

from pathlib import Path

import pytest

from tests.app.page_driver import check, check_no_error, open_view, press, said
from tests.app.tiny_data import make_few
from tests.shelves import use_only

ATTACK = {"attack": "pgd", "num_steps": 1}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBUST_DATA", str(tmp_path))
    use_only(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.slow
def test_one_image_a_class_gets_a_map_and_no_numbers_of_classes(home):
    page = open_view("latent", {"model": make_few(home, 12), **ATTACK})
    assert "Cost: 12 forward-backward passes of one image" in said(page)
    assert "12 images of the test split, 1 to 1 per class" in said(page)
    assert "a class with one image has none" in said(page)
    assert "No class has two images in this sample" in said(page)
    for tab in ("Along the path", "Discriminator"):
        page.session_state["latent.tabs"] = tab
        check_no_error(page.run())
    assert list(page.dataframe[0].value["Class"]) == ["all"]


@pytest.mark.parametrize("layout", ["pca", "tsne"])
def test_three_images_have_numbers_but_no_map_which_is_said_beforehand(home, layout):
    page = open_view("latent", {"model": make_few(home, 3), "layout": layout, **ATTACK})
    assert "A map needs at least 10 images: only numbers will be shown." in said(page)
    assert [error.value for error in page.error] == [
        "A map needs the features of at least 10 clean images, got 3."
    ]
    assert list(page.dataframe[0].value["Class"]) == ["all"]


def test_one_image_has_no_neighbours(home):
    name = make_few(home, 2)
    state = {"model": name, "image": f"{name}/test/0", "target": "1"}
    page = open_view("latent", state | ATTACK)
    assert [error.value for error in page.error] == [
        "Distances between features need at least 2 test images besides those of 1, got 1."
    ]


@pytest.mark.parametrize("layout", ["pca", "tsne"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_network_that_sees_no_difference_is_told(home, layout, dimensions):
    name = make_few(home, 12, constant=True)
    page = open_view(
        "latent", {"model": name, "layout": layout, "dimensions": dimensions, **ATTACK}
    )
    sentences = [error.value for error in check(page).error]
    assert ["the same for all 12 clean images" in one for one in sentences] == [True] * (
        layout == "tsne"
    )


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.slow
def test_hard_pairs_of_one_image_a_class(home, constant):
    name = make_few(home, 3, constant=constant)
    page = open_view("hard_pairs", {"model": name, "num_images": 10, "num_steps": 1})
    next(button for button in page.button if button.label == "Run attack").click()
    check_no_error(page.run())
    for view in ("Pairs", "Where they go", "Similarity", "Gradient", "Self-paced loss"):
        page.session_state["hard_pairs.view"] = view
        check_no_error(page.run())


@pytest.mark.slow
def test_a_model_at_chance_is_told_as_such_on_the_attack_page(home):
    page = open_view("attack", {"model": make_few(home, 12, constant=True), **ATTACK})
    (sentence,) = (one.value for one in page.warning if "chance level" in one.value)
    assert "classifies 1 of 12 images correctly" in sentence
    assert "the most frequent class would be correct on 8\u00a0%" in sentence
    assert "predicts 1 of the 12 classes" in sentence
    assert "robust model" not in said(page)


@pytest.mark.slow
def test_a_model_at_chance_is_told_as_such_on_hard_pairs(home):
    name = make_few(home, 12, constant=True)
    page = open_view("hard_pairs", {"model": name, "num_images": 12, "num_steps": 1})
    page = press(page, "Run attack")
    assert [one.value for one in page.warning if "predicts 1 of the 12 classes" in one.value]
