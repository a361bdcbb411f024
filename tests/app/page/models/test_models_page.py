"""All models in one table; a file of weights is asked about, compared, imported and deleted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from streamlit.testing.v1 import AppTest

from app.ui import measure
from robust_core.checkpoints.catalog import checkpoint_info, import_checkpoint, list_checkpoints
from robust_core.checkpoints.folders import incoming_folder
from robust_core.config.imported import ImportConfig
from tests.app.page_driver import check, check_no_error, labels, open_view, press, said
from tests.importing.examples import SCALE, published_names, their_file
from tests.importing.test_sources import NAMES, graph_file, published
from tests.shelves import use_only

OURS = checkpoint_info("digits-pgd_at").path
PICK = {"view": "bring", "from": "folder"}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    use_only(tmp_path, monkeypatch)
    incoming_folder().mkdir()
    yield tmp_path
    measure._results.clear()


def choose(page: AppTest, kind: str, label: str, value: Any) -> AppTest:
    widgets: list[Any] = list(page.get(kind))
    found = next(one for one in widgets if one.label == label)
    return check(found.set_value(value).run())


def table(page: AppTest) -> list[str]:
    return list(page.dataframe[0].value["Model"])


def links(page: AppTest) -> set[tuple[str, str]]:
    found = (link.proto for link in page.get("page_link"))
    return {(one.label, one.query_string) for one in found if "model=" in one.query_string}


def test_the_table_is_filtered_and_its_numbers_are_those_of_the_cards() -> None:
    page = check_no_error(open_view("models", {"data": "digits", "find": "Trades", "kind": "all"}))
    assert table(page) == ["digits-trades"]
    card = checkpoint_info("digits-trades").card
    row = page.dataframe[0].value.iloc[0]
    assert row["As reported"] == pytest.approx(100 * card.reported.accuracy)
    assert row["Lowest measured"] == pytest.approx(100 * card.lowest().accuracy)
    assert row["Gap"] == pytest.approx(row["As reported"] - row["Lowest measured"])
    assert ("Attack", "model=digits-trades") in links(page)
    assert "It ships with the laboratory, so it stays." in said(page)
    assert "Yes, delete it" not in labels(page)
    choose(page, "text_input", "Find", "no such model")
    assert "No model matches" in said(page)


def test_an_address_of_nonsense_is_answered_part_by_part() -> None:
    parts = ("view", "data", "kind", "model", "from", "file", "nonsense")
    page = open_view("models", dict.fromkeys(parts, "<zq>"))
    assert len(page.warning) == len(parts)
    assert len(table(page)) > 20


def test_an_imported_model_is_deleted_after_a_question(shelf: Path) -> None:
    name = import_checkpoint("mine.safetensors", OURS.read_bytes())
    page = open_view("models", {"model": name})
    assert "These numbers are stated by its file" in said(page)
    press(page, "Yes, delete it")
    assert list_checkpoints() == [] and "No model yet" in said(page)


def test_a_checkpoint_of_ours_says_everything_itself(shelf: Path) -> None:
    page = open_view("models", {"view": "bring"})
    assert str(incoming_folder()) in said(page)
    page.file_uploader[0].set_value(("mine.safetensors", OURS.read_bytes(), "x"))
    check(page.run())
    press(page, "Import")
    assert "Stored as **imported/mine**." in said(page)
    assert {("Attack it", "model=imported%2Fmine")} < links(page)
    assert list_checkpoints() == ["imported/mine"]


def test_what_needs_code_is_refused_by_name(shelf: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), incoming_folder() / "evil.pt")
    page = open_view("models", PICK | {"file": "evil.pt"})
    (error,) = page.error
    assert error.value.startswith("evil.pt needs code to open (torch.nn.modules.linear.Linear)")
    assert labels(page) == []


@pytest.mark.slow
def test_what_was_typed_stays_when_something_is_missing(shelf: Path) -> None:
    their_file(incoming_folder())
    page = open_view("models", PICK | {"file": "model.pth.tar"})
    choose(page, "text_input", "Name", "mine")
    choose(page, "text_area", "Names of its outputs in their order", "a, b")
    choose(page, "text_input", "Height and width of its images", "large")
    assert "like 32x32" in page.error[0].value
    choose(page, "text_input", "Height and width of its images", "32x32")
    press(page, "Import")
    assert [one.value.partition(" (")[0] for one in page.error] == [
        "model.pth.tar fits 8 variants of wide_resnet, which compute differently with the same "
        "names"
    ]
    assert [one.value for one in page.text_input] == ["32x32", "mine"]
    assert list_checkpoints() == []


@pytest.mark.slow
def test_foreign_weights_are_compared_and_imported_as_what_they_are(shelf: Path) -> None:
    their_file(incoming_folder())
    page = open_view("models", PICK | {"file": "model.pth.tar"}, timeout=90)
    choose(page, "selectbox", "Data set", "digits")
    assert "Cost: " in said(page) and "forward passes" in said(page)
    press(page, "Try all 8 on digits")
    best = page.dataframe[0].value.iloc[0]
    assert (best["Head"], best["Activation"]) == ("linear", "relu")
    assert best["of the data set"] > 80 > best["[-1, 1]"]
    press(page, "Choose the highest")
    choose(page, "number_input", "Clean accuracy that is reported for it, in per cent", 20.0)
    check_no_error(press(page, "Import"))
    info = checkpoint_info("imported/model")
    assert isinstance(info.config, ImportConfig)
    pixels = info.config.origin.pixels
    assert pixels is not None and pixels.said_by == "person"
    assert pixels.mean == pytest.approx(SCALE["mean"], abs=0.02)
    assert "normalised: mean 0.3111, std 0.3558 (said by the person" in said(page)
    assert "The stated clean accuracy is 20.0\u00a0%" in said(page)  # a warning of arrival
    assert "Robust accuracy: not measured yet" in said(page)
    page = open_view("models", {"kind": "imported"})
    assert list(page.dataframe[0].value["Checks"]) == ["not measured yet"]


@pytest.mark.slow
def test_a_file_is_asked_only_what_it_does_not_tell(shelf: Path) -> None:
    state = published_names() | {"mu": torch.tensor([0.31]), "sigma": torch.tensor([0.36])}
    torch.save({"state_dict": state, "ema": state}, incoming_folder() / "both.pt")
    page = open_view("models", PICK | {"file": "both.pt"})
    assert labels(page) == []
    choose(page, "selectbox", "Which of its sets of weights?", "ema")
    assert "The file says so: mean 0.31, std 0.36." in said(page)
    groups: list[Any] = list(page.get("button_group"))
    assert "Pixels" not in [one.label for one in groups]


@pytest.mark.slow
def test_a_network_of_ours_goes_by_its_architecture_and_parameters(shelf: Path) -> None:
    save_file(load_file(OURS), incoming_folder() / "bare.safetensors")
    page = open_view("models", PICK | {"file": "bare.safetensors"})
    assert "If you know its architecture, name it." in said(page)
    choose(page, "selectbox", "Architecture", "small_cnn")
    choose(page, "selectbox", "Data set", "digits")
    press(page, "Import")
    assert "Stored as **imported/bare**." in said(check_no_error(page))


def test_a_graph_is_asked_for_its_classes_and_pixels_only(shelf: Path) -> None:
    graph_file(incoming_folder())
    page = open_view("models", PICK | {"file": "mine.onnx"})
    assert {one.label for one in page.selectbox} == {
        f"A file or folder in {incoming_folder()}",
        "Data set",
    }
    assert [one.label for one in page.text_input] == ["Name"]  # it says the size of its images
    choose(page, "text_area", "Names of its outputs in their order", ", ".join(NAMES))
    press(page, "Import")
    assert page.error[0].value.startswith("Say how mine.onnx expects its pixels")
    choose(page, "button_group", "Pixels", "[0, 1]")
    check_no_error(press(page, "Import"))
    assert "Stored as **imported/mine**." in said(page) and "an ONNX graph" in said(page)
    assert checkpoint_info("imported/mine").class_names == NAMES


@pytest.mark.slow
def test_a_folder_of_hugging_face_is_asked_nothing(shelf: Path) -> None:
    published(incoming_folder() / "theirs")
    page = open_view("models", PICK | {"file": "theirs"})
    assert "It names 3 classes: cat, dog, owl." in said(page)
    assert "The file says so: mean 0.5, 0.4, 0.3, std 0.25, 0.2, 0.3." in said(page)
    check_no_error(press(page, "Import"))
    assert checkpoint_info("imported/theirs").class_names == ("cat", "dog", "owl")
