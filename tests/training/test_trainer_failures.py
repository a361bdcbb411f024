"""What is refused, and what a training that fails leaves behind."""

import errno
import os
from pathlib import Path

import pytest
import torch

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.errors import InputError
from robust_core.jobs import directory
from robust_core.losses import cross_entropy
from robust_core.methods.base import Batch, MethodOutput
from robust_core.methods.standard import Standard
from robust_core.training import trainer
from robust_core.training.directory import RunDirectory
from robust_core.training.state import create_state
from robust_core.training.trainer import train
from tests.training.conftest import tiny_config
from tests.training.stops import stop_at_call


@pytest.mark.slow
def test_finished_run_is_not_trained_again() -> None:
    run = train(tiny_config())
    with pytest.raises(InputError, match="has finished"):
        train(run=run)
    assert run.status().state == "finished"


def test_other_configuration_is_refused() -> None:
    run = RunDirectory.create(tiny_config())
    with pytest.raises(InputError, match="another configuration"):
        train(tiny_config(epochs=3), run)


def test_channels_last_that_would_corrupt_memory_is_refused() -> None:
    narrow = {"name": "preact_resnet18", "parameters": {"width": 4}}
    config = tiny_config(model=narrow, channels_last=True, precision="float32")
    with pytest.raises(InputError, match="channels_last should be off"):
        train(config)
    wide = {"name": "preact_resnet18", "parameters": {"width": 8}}
    state = create_state(
        tiny_config(model=wide, channels_last=True), (1, 32, 32), 10, torch.device("cpu")
    )
    assert next(state.model.parameters()).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_second_process_is_refused_and_changes_nothing() -> None:
    run = RunDirectory.create(tiny_config())
    with run.lock(), pytest.raises(InputError, match="another process"):
        train(run=run)
    assert run.status().state == "lost"


@pytest.mark.slow
def test_divergence_fails_and_keeps_the_last_good_epoch(monkeypatch) -> None:
    run = RunDirectory.create(tiny_config(method={"name": "standard"}, epochs=3))
    train(run=run, should_stop=stop_at_call(2 + 5 + 2))
    saved, best = run.last.read_bytes(), run.best.read_bytes()

    def explode(self: Standard, model: torch.nn.Module, batch: Batch) -> MethodOutput:
        return MethodOutput(cross_entropy(model(batch.x), batch.y).mean() * torch.nan, {})

    monkeypatch.setattr(Standard, "training_loss", explode)
    with pytest.raises(InputError, match=r"diverged in epoch 2: .* got 0\.05"):
        train(run=run)
    assert run.status().state == "failed"
    assert "diverged" in str(run.status().error)
    assert (run.last.read_bytes(), run.best.read_bytes()) == (saved, best)


@pytest.mark.slow
def test_disk_full_fails_in_one_sentence_and_keeps_the_last_good_epoch(monkeypatch) -> None:
    run = RunDirectory.create(tiny_config(epochs=3))
    train(run=run, should_stop=stop_at_call(2 + 5 + 2))
    saved = run.last.read_bytes()
    real = trainer.save_state

    def full(*arguments) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainer, "save_state", full)
    with pytest.raises(InputError, match="the disk is full; its last complete epoch is kept"):
        train(run=run)
    status = run.status()
    assert (status.state, status.epoch) == ("failed", 1)
    assert run.last.read_bytes() == saved
    monkeypatch.setattr(trainer, "save_state", real)
    train(run=run)
    assert run.status().state == "finished"


def test_disk_so_full_that_the_status_cannot_be_written(monkeypatch) -> None:
    run = RunDirectory.create(tiny_config())

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(directory, "write_atomically", full)
    with pytest.raises(InputError, match="the disk is full; nothing was kept"):
        train(run=run)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut"])
def test_corrupt_last_state_gives_a_sentence(content) -> None:
    run = RunDirectory.create(tiny_config())
    run.last.write_bytes(content)
    with pytest.raises(InputError, match="it is damaged"):
        train(run=run)
    assert run.status().state == "failed"


@pytest.mark.slow
def test_last_state_of_another_run_is_refused() -> None:
    first = RunDirectory.create(tiny_config(epochs=3))
    train(run=first, should_stop=stop_at_call(2 + 5 + 2))
    second = RunDirectory.create(tiny_config(epochs=4))
    second.last.write_bytes(first.last.read_bytes())
    with pytest.raises(InputError, match="was saved by another"):
        train(run=second)


class Planted:
    def __reduce__(self):
        return (os.mkdir, ("planted",))


def test_last_state_is_never_executed(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDirectory.create(tiny_config())
    torch.save({"config": Planted()}, run.last)
    with pytest.raises(InputError, match="it is damaged"):
        train(run=run)
    assert not (tmp_path / "planted").exists()


def test_unexpected_error_is_recorded_and_raised(monkeypatch) -> None:
    run = RunDirectory.create(tiny_config(method={"name": "standard"}))

    def bug(self: Standard, model: torch.nn.Module, batch: Batch) -> MethodOutput:
        raise AttributeError("a bug")

    monkeypatch.setattr(Standard, "training_loss", bug)
    with pytest.raises(AttributeError):
        train(run=run)
    assert run.status().error == "unexpected AttributeError: a bug"
    assert any("Traceback" in line for line in run.log_tail())


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.slow
def test_method_that_stops_keeps_the_epoch_before(monkeypatch, epoch) -> None:
    seen = iter(range(10))
    monkeypatch.setattr(
        Standard,
        "reason_to_stop",
        lambda self, model: "it collapsed" if next(seen) == epoch else None,
    )
    run = RunDirectory.create(tiny_config(method={"name": "standard"}, epochs=4))
    if epoch == 0:
        with pytest.raises(InputError, match="ended in its first epoch"):
            train(run=run)
        return
    train(run=run)
    status = run.status()
    assert (status.state, status.epoch) == ("finished", 1)
    assert status.note == "epoch 2 was discarded and training ended: it collapsed"
    assert len(run.metrics()) == 1
    assert checkpoint_info(run.best).epoch == 1
