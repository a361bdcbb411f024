"""Every method goes on where it was: its networks, its optimisers, its own memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robust_core.checkpoints.catalog import load_model
from robust_core.config.run import RunConfig
from robust_core.data.npz import NpzFile
from robust_core.methods.base import METHODS
from robust_core.training.directory import RunDirectory
from robust_core.training.trainer import train
from tests.methods.examples import NUM_CLASSES, PARAMETERS, assert_same, smallest_network
from tests.training.conftest import tiny_config


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A few augmented images of 8x8, four classes of noise."""
    monkeypatch.setattr(NpzFile, "augmentation", "shift")
    draw = np.random.default_rng(0)
    path = tmp_path / "tiny.npz"
    np.savez(
        path,
        x_train=draw.integers(0, 256, (48, 8, 8), dtype=np.uint8),
        y_train=np.arange(48) % NUM_CLASSES,
        x_test=draw.integers(0, 256, (8, 8, 8), dtype=np.uint8),
        y_test=np.arange(8) % NUM_CLASSES,
    )
    return str(path)


def config_of(name: str, data: str) -> RunConfig:
    """A run of two epochs, three batches each (the last one smaller), every batch in two pieces."""
    architecture, size = smallest_network(name)
    few_steps = {"num_steps": 1} if "num_steps" in METHODS.get(name).Parameters.model_fields else {}
    return tiny_config(
        data={"name": data},
        model={"name": architecture, "parameters": size},
        method={"name": name, "parameters": PARAMETERS.get(name, {}) | few_steps},
        batch_size=16,
        accumulate=2,
        ema_decay=0.9,
    )


def saved(run: RunDirectory) -> dict[str, Any]:
    """Everything that the run would resume from, but for the time it took."""
    state = torch.load(run.last, weights_only=True)
    records = [*state["metrics"], state["best"]]
    return state | {"metrics": [record | {"seconds": 0} for record in records], "best": None}


@pytest.mark.usefixtures("keep_resume_state")
@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS.names())
def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(name, data) -> None:
    config = config_of(name, data)
    whole, run = train(config), RunDirectory.create(config)
    train(run=run, should_stop=run.last.exists)
    assert (run.status().state, run.status().epoch) == ("stopped", 1)
    train(run=run)
    assert run.status().state == whole.status().state == "finished"
    assert_same(saved(run), saved(whole))
    assert_same(load_model(run.best).state_dict(), load_model(whole.best).state_dict())
