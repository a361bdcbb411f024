"""Runs that are killed again and again at any moment, resumed, and end as if nothing had been.

`ROBUST_KILLS=20` kills 20 trainings and 15 evaluations; the suite kills a few.
"""

import os
import random
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from robust_core.checkpoints.catalog import load_model
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationPlan, run_evaluation
from robust_core.jobs.directory import WorkDirectory
from robust_core.jobs.lock import is_held
from robust_core.training.directory import RunDirectory
from robust_core.training.trainer import train
from tests.checkpoints.examples import write_checkpoint
from tests.evaluation_runs.plans import numbers
from tests.shelves import use_only
from tests.training.conftest import tiny_config

NUM_KILLS = int(os.environ.get("ROBUST_KILLS", "2"))
PATIENCE = 600.0  # seconds for a whole run on a busy machine
ATTACK = {"name": "pgd", "parameters": {"epsilon": 0.08, "num_steps": 3}}
CHILDREN = get_context("forkserver")
CHILDREN.set_forkserver_preload(["robust_core.training.trainer", "robust_core.evaluation_runs"])
Work = Callable[..., Any]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_only(tmp_path, monkeypatch)
    # a page that was tested in this process before has left its script there, which children run
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    return tmp_path


def start(work: Work, run: WorkDirectory[Any, Any]) -> Any:
    folder = os.environ["ROBUST_CHECKPOINTS"]  # the server of children knows that of its start only
    child = CHILDREN.Process(target=do_in, args=(folder, work, run))
    child.start()
    return child


def do_in(folder: str, work: Work, run: WorkDirectory[Any, Any]) -> None:
    os.environ["ROBUST_CHECKPOINTS"] = folder
    work(run=run)


def finish(work: Work, run: WorkDirectory[Any, Any]) -> float:
    """Let a child work until it has ended; return the seconds that it took."""
    started = time.monotonic()
    child = start(work, run)
    child.join(PATIENCE)
    assert child.exitcode == 0
    assert run.status().state == "finished"
    return time.monotonic() - started


def kill_again_and_again(
    work: Work, make: Callable[[], WorkDirectory[Any, Any]], num_kills: int
) -> list[WorkDirectory[Any, Any]]:
    """Kill work at random moments and resume it; return the finished runs, the first unkilled."""
    runs = [make()]
    seconds = finish(work, runs[0])
    moments, killed = random.Random(0), 0
    runs.append(make())
    while killed < num_kills:
        child = start(work, runs[-1])
        child.join(moments.uniform(0.0, seconds))
        if child.is_alive():
            child.kill()
            child.join()
            killed += 1
            assert not runs[-1].status().active
        if runs[-1].status().state == "finished":
            runs.append(make())
    if runs[-1].status().state != "finished":
        finish(work, runs[-1])
    return runs


def left(run: WorkDirectory[Any, Any]) -> list[str]:
    """The files of a run; a lock is free."""
    assert not is_held(run.path / "lock")
    return sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*"))


def test_trainings(shelf) -> None:
    runs = kill_again_and_again(train, lambda: RunDirectory.create(tiny_config()), NUM_KILLS)
    whole = runs[0]
    expected = load_model(whole.path / "best.safetensors").state_dict()
    for run in runs[1:]:
        assert left(run) == left(whole)
        found = load_model(run.path / "best.safetensors").state_dict()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert sorted(path.name for path in (shelf / "runs").iterdir() if path.name != ".lock") == (
        sorted(run.run_id for run in runs)
    )


def test_evaluations(shelf) -> None:
    (shelf / "pretrained").mkdir()
    write_checkpoint(shelf / "pretrained" / "tiny.safetensors", seed=0)
    plan = EvaluationPlan.create(
        {"checkpoints": ["tiny"], "attacks": [ATTACK], "num_images": 128, "batch_size": 16}
    )
    runs = kill_again_and_again(
        run_evaluation, lambda: EvaluationDirectory.create(plan), max(2, 3 * NUM_KILLS // 4)
    )
    whole, *killed = (EvaluationDirectory(run.path) for run in runs)
    for run in killed:
        assert left(run) == left(whole)
        assert numbers(run.results()) == numbers(whole.results())
