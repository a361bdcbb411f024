"""Training in pieces: over processes, over parts of a batch, over replays of a batch."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robust_core.checkpoints.catalog import load_model
from robust_core.config.run import RunConfig
from robust_core.distributed import ProcessGroup
from robust_core.methods.atld import ATLD
from robust_core.methods.base import Batch, MethodOutput
from robust_core.methods.standard import Standard
from robust_core.models.small_cnn import SmallCNN
from robust_core.paths import REPOSITORY
from robust_core.training.directory import RunDirectory
from robust_core.training.state import create_state
from robust_core.training.step import TrainingStep
from robust_core.training.trainer import train
from tests.methods.examples import NUM_CLASSES, PARAMETERS, example_batch
from tests.training.conftest import tiny_config

pytestmark = pytest.mark.slow

PATIENCE = 240  # seconds
LONG = bool(os.environ.get("ROBUST_LONG_TESTS"))
STANDARD = {"name": "standard", "parameters": {}}


def plain(**changes: Any) -> RunConfig:
    """A run without randomness but the order of the images."""
    return tiny_config(
        **({"method": STANDARD, "augment": False, "precision": "float32", "epochs": 1} | changes)
    )


def curve(run: RunDirectory) -> list[float]:
    return [next(iter(record.terms.values())) for record in run.metrics()]


def torchrun(num_processes: int, *arguments: str) -> subprocess.Popen:
    """Start `python -m robust_core train` under torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command = [sys.executable, *launcher, str(num_processes), "-m", "robust_core", "train"]
    return subprocess.Popen(
        [*command, *arguments, "--quiet"],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def start_with(num_processes: int, config: RunConfig, run: Path) -> subprocess.Popen:
    """Start a new run under torchrun."""
    path = run.with_suffix(".json")
    path.write_text(config.to_json())
    return torchrun(num_processes, str(path), "--directory", str(run))


def train_with(num_processes: int, config: RunConfig, folder: Path) -> RunDirectory:
    """Train under torchrun."""
    assert start_with(num_processes, config, folder / "run").wait(PATIENCE) == 0
    return RunDirectory(folder / "run")


def test_two_processes_follow_the_curve_of_one(tmp_path) -> None:
    config = plain(epochs=2)
    shared, alone = train_with(2, config, tmp_path), train(config)
    assert shared.status().state == "finished"
    assert shared.status().step == alone.status().step
    assert curve(shared) == pytest.approx(curve(alone), rel=1e-4)
    mine, other = load_model(alone.best).state_dict(), load_model(shared.best).state_dict()
    assert all(torch.allclose(mine[key], other[key], atol=1e-5) for key in mine)


@pytest.mark.skipif(not LONG, reason="six processes start: set ROBUST_LONG_TESTS=1")
def test_a_team_goes_on_where_each_of_its_processes_was(tmp_path) -> None:
    parameters = {"epsilon": 0.1, "num_replays": 2}  # each process has a perturbation of its own
    config = plain(method={"name": "free_at", "parameters": parameters}, epochs=12)
    whole = train_with(2, config, tmp_path)
    run, deadline = RunDirectory(tmp_path / "stopped"), time.monotonic() + PATIENCE
    process = start_with(2, config, run.path)
    while not run.last.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    run.request_stop()
    process.wait(PATIENCE)
    assert run.status().state == "stopped" and 1 <= run.status().epoch < 12
    assert torchrun(2, "--directory", str(run.path)).wait(PATIENCE) == 0
    assert curve(run) == curve(whole)
    mine, other = load_model(run.best).state_dict(), load_model(whole.best).state_dict()
    assert all(torch.equal(mine[key], other[key]) for key in mine)


def test_the_averaged_network_gets_everybodys_running_statistics() -> None:
    class Recording(ProcessGroup):
        def average_running_statistics(self, *modules: torch.nn.Module) -> None:
            told.extend(modules)

    told: list[torch.nn.Module] = []
    train(plain(epochs=1, ema_decay=0.5), group=Recording())
    networks = [module for module in told if isinstance(module, SmallCNN)]
    assert len({id(network) for network in networks}) == 2


def test_pieces_of_a_batch_add_up_to_the_batch() -> None:
    whole, pieces = train(plain()), train(plain(accumulate=3))
    assert curve(pieces) == pytest.approx(curve(whole), rel=1e-4)


@pytest.mark.parametrize(("accumulate", "num_steps"), [(1, 2), (4, 8)])
def test_atlds_discriminator_takes_its_steps_on_every_piece(
    monkeypatch, accumulate, num_steps
) -> None:
    steps: list[ATLD] = []
    take = ATLD.step_discriminator

    def count(self: ATLD, loss: Tensor) -> None:
        steps.append(self)
        take(self, loss)

    monkeypatch.setattr(ATLD, "step_discriminator", count)
    method = {"name": "atld", "parameters": PARAMETERS["atld"]}
    config = plain(method=method, accumulate=accumulate)
    batch = example_batch()
    state = create_state(config, (1, 8, 8), NUM_CLASSES, torch.device("cpu"))
    TrainingStep(config, state, batch.x, batch.y)(batch.index, rate=0.1, step=0)
    assert len(steps) == num_steps


def test_a_batch_is_replayed_as_often_as_the_method_says(monkeypatch) -> None:
    seen: list[tuple[int, ...]] = []
    original = Standard.training_loss

    def note(self: Standard, model: torch.nn.Module, batch: Batch) -> MethodOutput:
        seen.append(tuple(batch.index.tolist()))
        return original(self, model, batch)

    monkeypatch.setattr(Standard, "num_replays", 3)
    monkeypatch.setattr(Standard, "training_loss", note)
    run = train(plain())
    assert run.status().step == len(seen) / 3 == 5
    assert all(seen[i] == seen[i + 1] == seen[i + 2] for i in range(0, len(seen), 3))


def test_every_hook_is_called_in_its_turn(monkeypatch) -> None:
    told: list[str] = []

    def note(name: str) -> None:
        def hook(self: Standard, *arguments: object) -> None:
            told.append(name)

        monkeypatch.setattr(Standard, name, hook)

    for name in ("attach", "prepare", "on_epoch_start", "after_backward", "after_step"):
        note(name)
    train(plain(batch_size=8192))
    assert told[:5] == ["attach", "prepare", "on_epoch_start", "after_backward", "after_step"]


def test_layout_changes_no_result_beyond_rounding() -> None:
    assert curve(train(plain(channels_last=True))) == pytest.approx(curve(train(plain())), rel=1e-3)
