from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robust_core.config.run import RunConfig
from robust_core.training.directory import RunDirectory
from tests.shelves import use_only


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkpoints folder of the test's own."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    use_only(folder, monkeypatch)
    return folder


@pytest.fixture
def keep_resume_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the state that a resume starts from where it is when a run has finished."""
    monkeypatch.setattr(RunDirectory, "sweep", lambda run: None)


@pytest.fixture
def make_config() -> Callable[..., RunConfig]:
    return tiny_config


def tiny_config(**changes: Any) -> RunConfig:
    """A run of seconds: a narrow network, one attack step, few images to judge on."""
    attack = {"name": "pgd", "parameters": {"epsilon": 0.1, "num_steps": 1}}
    values: dict[str, Any] = {
        "data": {"name": "digits"},
        "model": {"name": "small_cnn", "parameters": SMALLEST},
        "method": {"name": "pgd_at", "parameters": {"epsilon": 0.1, "num_steps": 1}},
        "optimiser": {"name": "sgd", "learning_rate": 0.05},
        "epochs": 2,
        "batch_size": 256,
        "evaluation": {
            "attack": attack,
            "num_images": 50,
            "test_attack": attack,
            "test_num_images": 50,
        },
    }
    return RunConfig.create(values | changes)


SMALLEST: dict[str, Any] = {"width": 4}
