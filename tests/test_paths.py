"""Where a person's files lie: apart from what ships, wherever the package is and is called from."""

import subprocess
import sys
from pathlib import Path

import pytest

from robust_core import paths

VARIABLES = ("ROBUST_CHECKPOINTS", "ROBUST_DATA", "XDG_DATA_HOME", "LOCALAPPDATA")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_in_a_checkout_everything_lies_in_it() -> None:
    assert paths.checkpoints_folder() == paths.shipped_folder() == paths.REPOSITORY / "checkpoints"
    assert paths.data_folder() == paths.REPOSITORY / "data"
    assert paths.dashboard_file().is_file()


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("linux", ".local/share"),
        ("darwin", "Library/Application Support"),
        ("win32", "AppData/Local"),
    ],
)
def test_once_installed_they_lie_where_the_system_keeps_a_persons_files(
    platform: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "INSTALLED", True)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert paths.checkpoints_folder() == tmp_path / place / "robust-lab" / "checkpoints"
    assert paths.data_folder() == tmp_path / place / "robust-lab" / "data"


@pytest.mark.parametrize(
    ("platform", "variable"), [("linux", "XDG_DATA_HOME"), ("win32", "LOCALAPPDATA")]
)
def test_the_systems_own_variable_moves_them(
    platform: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "INSTALLED", True)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert paths.data_folder() == tmp_path / "robust-lab" / "data"


def test_two_variables_move_a_persons_files_and_nothing_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path / "made"))
    monkeypatch.setenv("ROBUST_DATA", "~/sets")
    assert paths.checkpoints_folder() == tmp_path / "made"
    assert paths.data_folder() == Path.home() / "sets"
    assert paths.shipped_folder() == paths.REPOSITORY / "checkpoints"


@pytest.mark.slow
def test_the_engine_finds_its_models_from_any_folder(tmp_path: Path) -> None:
    """And opens the one of the most parts without what only training and drawing need."""
    code = (
        f"import sys; sys.path.insert(0, {str(paths.REPOSITORY)!r}); "
        "import robust_core as rc; print(*rc.list_checkpoints()); rc.load_model('digits-atld'); "
        "print({'torch._dynamo', 'sklearn', 'plotly', 'streamlit'} & set(sys.modules))"
    )
    command = [sys.executable, "-P", "-c", code]
    found = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    names, superfluous = found.stdout.splitlines()
    assert "digits-pgd_at" in names.split()
    assert superfluous == "set()"
