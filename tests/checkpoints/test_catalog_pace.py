"""The catalogue of many runs: one look at the folders, a header only where a file has changed."""

import os
import shutil
import time

import pytest

from robust_core.checkpoints import catalog
from robust_core.checkpoints.catalog import checkpoint_info, list_infos
from tests.checkpoints.examples import write_checkpoint

NUM_RUNS = 500
SECONDS = 0.3  # of processor time; 0.014 s where it was measured, 2.7 s before


@pytest.mark.slow
def test_a_list_of_500_runs_takes_no_time(checkpoints, monkeypatch) -> None:
    first = checkpoints / "model.safetensors"
    write_checkpoint(first, seed=0)
    for number in range(NUM_RUNS):
        folder = checkpoints / "runs" / f"run-{number}"
        folder.mkdir(parents=True)
        shutil.copy(first, folder / "best.safetensors")
        os.utime(folder / "best.safetensors", (number, number))
    names = [info.name for info in list_infos()]
    assert names == [f"runs/run-{number}" for number in reversed(range(NUM_RUNS))]
    read = []
    monkeypatch.setattr(catalog, "parse_header", lambda *_: read.append(1))
    started = time.process_time()
    infos = list_infos()
    found = checkpoint_info("runs/run-3")
    assert time.process_time() - started < SECONDS
    assert [info.name for info in infos] == names and found in infos
    assert not read


def test_a_changed_file_is_read_again_and_a_deleted_one_is_gone(checkpoints) -> None:
    path = checkpoints / "imported" / "one.safetensors"
    path.parent.mkdir()
    write_checkpoint(path, seed=0)
    (before,) = list_infos()
    write_checkpoint(path, seed=1)
    (after,) = list_infos()
    assert before.digest != after.digest == checkpoint_info("imported/one").digest
    path.unlink()
    assert list_infos() == []
