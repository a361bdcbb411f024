import signal
from pathlib import Path

import pytest

from robust_core.training.trainer import train
from tests.shelves import use_only
from tests.training.conftest import tiny_config


@pytest.fixture(autouse=True)
def restore_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_only(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> bytes:
    """A checkpoint that every test may put on its own shelf."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        use_only(folder, patch)
        return train(tiny_config(epochs=1)).best.read_bytes()


@pytest.fixture
def model(trained, checkpoints) -> str:
    (checkpoints / "pretrained").mkdir()
    (checkpoints / "pretrained" / "tiny.safetensors").write_bytes(trained)
    return "tiny"


@pytest.fixture
def recipe(tmp_path) -> str:
    path = tmp_path / "recipe.json"
    path.write_text(tiny_config().to_json(), encoding="utf-8")
    return str(path)
