import shutil
from pathlib import Path

import pytest

from tests.checkpoints.examples import write_checkpoint
from tests.shelves import use_only


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / "tiny.safetensors", seed=0)
    write_checkpoint(folder / "other.safetensors", seed=1)
    return folder


@pytest.fixture
def shelf(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints: "tiny" and "other"."""
    use_only(tmp_path, monkeypatch)
    return shutil.copytree(models, tmp_path / "pretrained")
