"""A folder of one's own beside what ships: neither hides the other."""

import shutil
from pathlib import Path

import pytest

from robust_core import paths
from robust_core.checkpoints.catalog import (
    checkpoint_info,
    delete_model,
    import_checkpoint,
    list_checkpoints,
    load_model,
)
from robust_core.checkpoints.folders import incoming_files, incoming_folder
from robust_core.checkpoints.packaged import packaged_models
from robust_core.errors import InputError

SHIPPED, OTHER = "digits-standard", "digits-trades"


def file_of(name: str) -> Path:
    return paths.REPOSITORY / "checkpoints" / "pretrained" / f"{name}.safetensors"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of a person's, named by the variable."""
    monkeypatch.undo()  # of the shelf that tests here have by default
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    return tmp_path


def test_a_folder_of_ones_own_does_not_hide_the_shipped_models(own: Path) -> None:
    shipped = {path.stem for path in file_of(SHIPPED).parent.glob("*.safetensors")}
    shipped |= set(packaged_models())
    assert set(list_checkpoints()) == shipped
    assert import_checkpoint("mine.safetensors", file_of(SHIPPED).read_bytes()) == "imported/mine"
    assert (own / "imported" / "mine.safetensors").is_file()
    assert set(list_checkpoints()) == shipped | {"imported/mine"}


def test_a_shipped_name_means_the_shipped_model_and_ones_own_is_still_there(own: Path) -> None:
    (own / "pretrained").mkdir()
    for name in (SHIPPED, "mine"):
        shutil.copy(file_of(OTHER), own / "pretrained" / f"{name}.safetensors")
    names = list_checkpoints()
    assert {SHIPPED, f"own/{SHIPPED}", "mine"} <= set(names)
    assert "own/mine" not in names
    assert checkpoint_info(SHIPPED).path == file_of(SHIPPED)
    assert checkpoint_info(f"own/{SHIPPED}").digest == checkpoint_info(OTHER).digest
    assert load_model(f"own/{SHIPPED}").num_classes == 10


@pytest.mark.parametrize("link", [False, True])
def test_in_a_checkout_the_same_folder_is_not_listed_twice(own: Path, link: bool) -> None:
    folder = paths.shipped_folder()
    if link:
        (own / "linked").symlink_to(folder)
        folder = own / "linked"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUST_CHECKPOINTS", str(folder))
        assert not [name for name in list_checkpoints() if name.startswith("own/")]


def test_only_what_a_person_has_brought_can_be_deleted(own: Path) -> None:
    for folder in ("pretrained", "imported", "runs/one"):
        (own / folder).mkdir(parents=True)
    mine, run = own / "pretrained" / f"{SHIPPED}.safetensors", own / "runs/one/best.safetensors"
    imported = own / "imported" / "theirs.safetensors"
    for path in (mine, run, imported):
        shutil.copy(file_of(OTHER), path)
    for name, sentence in ((SHIPPED, "ships with the laboratory"), ("runs/one", "its run")):
        with pytest.raises(InputError, match=sentence):
            delete_model(name)
    delete_model(f"own/{SHIPPED}")
    delete_model("imported/theirs")
    assert (mine.exists(), imported.exists(), run.exists()) == (False, False, True)
    assert file_of(SHIPPED).exists()
    with pytest.raises(InputError, match="unknown checkpoint"):
        delete_model("imported/theirs")


def test_files_and_folders_that_wait_to_be_imported_are_listed_by_name(own: Path) -> None:
    assert incoming_files() == []
    (incoming_folder() / "theirs").mkdir(parents=True)
    for name in ("b.pt", "A.pth", ".hidden"):
        (incoming_folder() / name).write_bytes(b"")
    assert [path.name for path in incoming_files()] == ["A.pth", "b.pt", "theirs"]
