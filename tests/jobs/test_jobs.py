import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robust_core import jobs
from robust_core.checkpoints.catalog import list_checkpoints
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationPlan, EvaluationStatus
from robust_core.training.directory import RunDirectory, RunStatus
from tests.checkpoints.examples import write_checkpoint
from tests.pretended import end_processes, pretend_processes
from tests.shelves import use_only
from tests.training.conftest import tiny_config

PATIENCE = 120.0  # seconds; starting a process takes long on a busy machine only


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_only(tmp_path, monkeypatch)
    return tmp_path


def wait_for(run_id: str, condition: Callable[[RunStatus], bool]) -> RunStatus:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = jobs.find(RunDirectory, run_id).status()
        if condition(status):
            return status
        time.sleep(0.05)
    raise AssertionError("\n".join(jobs.find(RunDirectory, run_id).log_tail()))


def ended(status: RunStatus) -> bool:
    return not status.active


@pytest.mark.slow
def test_a_child_process_trains_stops_on_request_and_goes_on_after_resume() -> None:
    run_id = jobs.start(tiny_config(epochs=10_000))
    assert jobs.summaries(RunDirectory)[0].run_id == run_id
    wait_for(run_id, lambda status: status.epoch >= 1)
    with pytest.raises(InputError, match="is active"):
        jobs.delete(jobs.find(RunDirectory, run_id))
    with pytest.raises(InputError, match="should be stopped, failed or lost"):
        jobs.resume(jobs.find(RunDirectory, run_id))
    assert list_checkpoints() == [f"runs/{run_id}"]
    jobs.stop(jobs.find(RunDirectory, run_id))
    stopped = wait_for(run_id, ended)
    assert stopped.state == "stopped"
    with pytest.raises(InputError, match="should be active"):
        jobs.stop(jobs.find(RunDirectory, run_id))

    jobs.resume(jobs.find(RunDirectory, run_id))
    wait_for(run_id, lambda status: status.epoch > stopped.epoch)
    jobs.stop(jobs.find(RunDirectory, run_id))
    assert wait_for(run_id, ended).state == "stopped"
    jobs.delete(jobs.find(RunDirectory, run_id))
    assert jobs.summaries(RunDirectory) == []
    assert list_checkpoints() == []


@pytest.mark.slow
def test_stop_during_start_up_and_failure_in_the_child() -> None:
    stopped = jobs.start(tiny_config())
    failing = jobs.start(tiny_config())
    (jobs.find(RunDirectory, failing).path / "config.json").write_text("{")
    waiting = jobs.start(tiny_config())
    assert jobs.find(RunDirectory, waiting).status().state == "queued"
    jobs.delete(jobs.find(RunDirectory, waiting))
    jobs.stop(jobs.find(RunDirectory, stopped))
    status = wait_for(stopped, ended)
    assert (status.state, status.epoch) == ("stopped", 0)
    status = wait_for(failing, ended)
    assert status.state == "failed"
    assert "should be JSON" in str(status.error)
    assert any("should be JSON" in line for line in jobs.find(RunDirectory, failing).log_tail())
    summaries = {summary.run_id: summary for summary in jobs.summaries(RunDirectory)}
    assert summaries[failing].status.state == "failed"


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_processes(monkeypatch)


@pytest.mark.usefixtures("no_children")
@pytest.mark.slow
def test_limit_counts_live_runs_only() -> None:
    first = jobs.start(tiny_config(), max_jobs=1)
    end_processes()
    second = jobs.start(tiny_config(), max_jobs=1)
    assert jobs.find(RunDirectory, second).status().state == "starting"
    jobs.resume(jobs.find(RunDirectory, first), max_jobs=1)
    assert jobs.find(RunDirectory, first).status().state == "queued"


def states(run_ids: list[str]) -> list[str]:
    return [jobs.find(RunDirectory, run_id).status().state for run_id in run_ids]


@pytest.mark.usefixtures("no_children")
@pytest.mark.slow
def test_those_that_find_no_place_wait_in_the_order_of_their_making() -> None:
    run_ids = [jobs.start(tiny_config()) for _ in range(5)]
    assert states(run_ids) == ["starting"] * 2 + ["queued"] * 3
    assert [jobs.before(jobs.find(RunDirectory, one)) for one in run_ids[2:]] == [0, 1, 2]
    with pytest.raises(InputError, match="but it is queued"):
        jobs.resume(jobs.find(RunDirectory, run_ids[2]))
    jobs.delete(jobs.find(RunDirectory, run_ids.pop(2)))  # leaves the queue
    jobs.start_waiting()
    assert states(run_ids) == ["starting"] * 2 + ["queued"] * 2
    end_processes()
    jobs.start_waiting(max_jobs=1)
    assert states(run_ids) == ["lost"] * 2 + ["starting", "queued"]
    (jobs.find(RunDirectory, run_ids[3]).path / "config.json").write_text("[")
    end_processes()
    jobs.start_waiting()
    assert states(run_ids)[3] == "failed"


@pytest.mark.usefixtures("no_children")
@pytest.mark.slow
def test_a_full_queue_refuses() -> None:
    for _ in range(10):
        jobs.start(tiny_config())
    with pytest.raises(InputError, match="at most 2 runs may be active at once and 8 wait"):
        jobs.start(tiny_config())
    assert len(jobs.summaries(RunDirectory)) == 10


@pytest.mark.usefixtures("no_children")
@pytest.mark.slow
def test_one_person_has_so_many_runs_at_work_or_waiting_and_no_more(checkpoints) -> None:
    theirs = [jobs.start(tiny_config(), owner="a", max_owned=2)]
    theirs.append(jobs.start(make_plan(checkpoints), owner="a", max_owned=2))
    with pytest.raises(InputError, match="at most 2 runs at work or waiting, and 2 are yours"):
        jobs.start(tiny_config(), owner="a", max_owned=2)
    other = jobs.start(tiny_config(), owner="b", max_owned=2)
    assert {one.owner for one in jobs.summaries(RunDirectory)} == {"a", "b"}
    assert jobs.start(tiny_config()) and len(jobs.summaries(RunDirectory)) == 3
    end_processes()
    jobs.delete(jobs.find(RunDirectory, theirs[0]))
    jobs.start(tiny_config(), owner="a", max_owned=1)
    with pytest.raises(InputError, match="1 are yours"):
        jobs.resume(jobs.find(EvaluationDirectory, theirs[1]), max_owned=1)
    assert jobs.find(RunDirectory, other).status().pending


@pytest.mark.usefixtures("no_children")
def test_resume_of_a_lost_run_forgets_the_request_to_stop() -> None:
    run = RunDirectory.create(tiny_config())
    run.write_status(RunStatus("running", epoch=1, num_epochs=2))
    run.request_stop()
    jobs.resume(jobs.find(RunDirectory, run.run_id))
    assert not run.stop_requested()
    assert (run.status().state, run.status().epoch) == ("starting", 1)


@pytest.mark.parametrize("state", ["finished", "starting", "running"])
def test_resume_needs_an_ended_unfinished_run(state) -> None:
    run = RunDirectory.create(tiny_config())
    run.write_status(RunStatus(state))
    with run.lock(), pytest.raises(InputError, match=f"but it is {state}"):
        jobs.resume(jobs.find(RunDirectory, run.run_id))


def test_run_that_a_process_still_holds_is_not_deleted(monkeypatch) -> None:
    monkeypatch.setattr("robust_core.jobs.control.ENDING_SECONDS", 0.2)
    run = RunDirectory.create(tiny_config())
    run.write_status(RunStatus("stopped"))
    with run.lock(), pytest.raises(InputError, match="another process"):
        jobs.delete(jobs.find(RunDirectory, run.run_id))
    assert run.config() == tiny_config()


@pytest.mark.parametrize(
    "run_id", ["", ".", "..", "../pretrained", "a/b", "/etc", "a\0b", "none", "link", "x" * 500]
)
def test_only_runs_can_be_named(run_id, checkpoints) -> None:
    outside = checkpoints / "pretrained"
    outside.mkdir()
    (checkpoints / "runs").mkdir()
    (checkpoints / "runs" / "link").symlink_to(outside)
    with pytest.raises(InputError, match="unknown run"):
        jobs.delete(jobs.find(RunDirectory, run_id))
    assert outside.is_dir()


def test_runs_are_listed_newest_first_and_damaged_ones_as_failed() -> None:
    runs = [RunDirectory.create(tiny_config(title=str(number))) for number in range(3)]
    for age, run in enumerate(runs):
        created = time.time() - 100 + age
        os.utime(run.path / "config.json", (created, created))
    (runs[1].path / "config.json").write_text("[")
    created = time.time() - 99
    os.utime(runs[1].path / "config.json", (created, created))
    summaries = jobs.summaries(RunDirectory)
    assert [summary.run_id for summary in summaries] == [run.run_id for run in reversed(runs)]
    assert [summary.title for summary in summaries] == ["2", "", "0"]
    assert (summaries[0].data, summaries[0].method) == ("digits", "pgd_at")
    assert summaries[1].status.state == "failed"


def make_plan(checkpoints: Path, **changes: Any) -> EvaluationPlan:
    """Hours of PGD on a few images."""
    path = checkpoints / "pretrained" / "tiny.safetensors"
    if not path.exists():
        path.parent.mkdir()
        write_checkpoint(path, seed=0)
    attack = {"name": "pgd", "parameters": {"num_steps": 10_000, "num_restarts": 100}}
    values = {"checkpoints": ["tiny"], "attacks": [attack], "num_images": 6, "batch_size": 3}
    return EvaluationPlan.create(values | changes)


@pytest.mark.slow
def test_a_child_process_evaluates_stops_on_request_and_goes_on(checkpoints) -> None:
    run_id = jobs.start(make_plan(checkpoints))
    run = jobs.find(EvaluationDirectory, run_id)

    def wait(condition: Callable[[EvaluationStatus], bool]) -> EvaluationStatus:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            status = run.status()
            if condition(status):
                return status
            time.sleep(0.05)
        raise AssertionError("\n".join(run.log_tail()))

    wait(lambda status: status.phase == "attack")
    with pytest.raises(InputError, match="is active"):
        jobs.delete(jobs.find(EvaluationDirectory, run_id))
    waiting = jobs.start(tiny_config(), max_jobs=1)
    assert jobs.find(RunDirectory, waiting).status().state == "queued"
    jobs.delete(jobs.find(RunDirectory, waiting))
    jobs.stop(jobs.find(EvaluationDirectory, run_id))
    assert wait(lambda status: not status.active).state == "stopped"
    assert run.results().checkpoints[0].clean.num_images == 6

    shorter = make_plan(checkpoints, attacks=[{"name": "fgsm"}])
    (run.path / "plan.json").write_text(shorter.to_json())
    jobs.resume(jobs.find(EvaluationDirectory, run_id))
    assert wait(lambda status: not status.active).state == "finished"
    summary = jobs.summaries(EvaluationDirectory)[0]
    assert (summary.run_id, summary.checkpoints, summary.attacks) == (run_id, ("tiny",), ("fgsm",))
    assert jobs.summaries(RunDirectory) == []
    jobs.delete(jobs.find(EvaluationDirectory, run_id))
    assert jobs.summaries(EvaluationDirectory) == []


@pytest.mark.usefixtures("no_children")
@pytest.mark.slow
def test_evaluations_count_against_the_limit_of_runs(checkpoints) -> None:
    plan = make_plan(checkpoints)
    first, second = jobs.start(tiny_config()), jobs.start(plan)
    third = jobs.start(plan)
    assert jobs.find(EvaluationDirectory, third).status().state == "queued"
    jobs.delete(jobs.find(EvaluationDirectory, third))
    with pytest.raises(InputError, match="unknown evaluation"):
        jobs.stop(jobs.find(EvaluationDirectory, first))
    with pytest.raises(InputError, match=f"'{second}' should be stopped, failed or lost"):
        jobs.resume(jobs.find(EvaluationDirectory, second))


def test_a_damaged_evaluation_is_listed_as_failed(checkpoints) -> None:
    run = EvaluationDirectory.create(make_plan(checkpoints))
    (run.path / "plan.json").write_text('{"attacks": 3, "checkpoints"')
    summary = jobs.summaries(EvaluationDirectory)[0]
    assert (summary.status.state, summary.attacks) == ("failed", ())
    assert "plan.json" in str(summary.status.error)
