"""A person's own data, seen before the run that trains on them."""

from pathlib import Path

import numpy as np
import pytest

from tests.app.page.train.runs import open_page
from tests.app.page_driver import said
from tests.data.own_sets import write_folder, write_npz


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ROBUST_DATA", str(folder))
    return folder


def start_is_offered(page) -> bool:
    (button,) = [one for one in page.button if one.label == "Start training"]
    return not button.disabled


def test_a_folder_of_pictures_is_shown_with_its_counts_and_the_time(data: Path) -> None:
    write_folder(data / "pets", num_classes=3, num_each=20, side=32)
    page = open_page(data="pets")
    shown = said(page)
    assert "3 classes, images of 3×32×32." in shown
    table = page.dataframe[0].value
    assert list(table.columns) == ["Class", "Train", "Val.", "Test"]
    assert int(table[["Train", "Val.", "Test"]].to_numpy().sum()) == 3 * 20
    assert "Time to expect: " in shown
    assert "hardly more than chance" in shown  # a validation part of few images
    assert start_is_offered(page)


def test_a_fault_is_said_before_the_start(data: Path) -> None:
    write_npz(data / "lab.npz", num_images=60)
    with np.load(data / "lab.npz") as archive:
        content = dict(archive)
    np.savez(data / "lab.npz", **{**content, "x_train": content["x_train"] / 255})
    page = open_page(data="lab")
    assert "x_train must be uint8 (0 to 255), got float64" in page.error[0].value
    assert not start_is_offered(page)


@pytest.mark.slow
def test_where_own_data_go_is_said(data: Path) -> None:
    assert f"Put one of these into the folder `{data}`" in said(open_page())
