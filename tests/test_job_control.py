import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robust_core import job_control
from robust_core.checkpoints.catalog import list_checkpoints
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationPlan, EvaluationStatus, create_evaluation
from robust_core.training.run_directory import RunStatus, create_run
from tests.checkpoints.examples import write_checkpoint
from tests.training.conftest import tiny_config

PATIENCE = 120.0  # seconds; starting a process takes long on a busy machine only


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    return tmp_path


def wait_for(run_id: str, condition: Callable[[RunStatus], bool]) -> RunStatus:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = job_control.run_directory(run_id).status(lost_after=PATIENCE)
        if condition(status):
            return status
        time.sleep(0.05)
    raise AssertionError("\n".join(job_control.run_directory(run_id).log_tail()))


def ended(status: RunStatus) -> bool:
    return not status.active


def test_a_child_process_trains_stops_on_request_and_goes_on_after_resume() -> None:
    run_id = job_control.start(tiny_config(epochs=10_000))
    assert job_control.list_runs()[0].run_id == run_id
    wait_for(run_id, lambda status: status.epoch >= 1)
    with pytest.raises(InputError, match="is active"):
        job_control.delete(run_id)
    with pytest.raises(InputError, match="should be stopped, failed or lost"):
        job_control.resume(run_id)
    assert list_checkpoints() == [f"runs/{run_id}"]
    job_control.stop(run_id)
    stopped = wait_for(run_id, ended)
    assert stopped.state == "stopped"
    with pytest.raises(InputError, match="should be active"):
        job_control.stop(run_id)

    job_control.resume(run_id)
    wait_for(run_id, lambda status: status.epoch > stopped.epoch)
    job_control.stop(run_id)
    assert wait_for(run_id, ended).state == "stopped"
    job_control.delete(run_id)
    assert job_control.list_runs() == []
    assert list_checkpoints() == []


def test_stop_during_start_up_and_failure_in_the_child() -> None:
    stopped = job_control.start(tiny_config())
    failing = job_control.start(tiny_config())
    (job_control.run_directory(failing).path / "config.json").write_text("{")
    with pytest.raises(InputError, match="at most 2 runs may be active at once"):
        job_control.start(tiny_config())
    job_control.stop(stopped)
    status = wait_for(stopped, ended)
    assert (status.state, status.epoch) == ("stopped", 0)
    status = wait_for(failing, ended)
    assert status.state == "failed"
    assert "should be JSON" in str(status.error)
    assert any("should be JSON" in line for line in job_control.run_directory(failing).log_tail())
    summaries = {summary.run_id: summary for summary in job_control.list_runs()}
    assert summaries[failing].status.state == "failed"


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_control, "_launch", lambda run: None)


@pytest.mark.usefixtures("no_children")
def test_limit_counts_live_runs_only() -> None:
    first = job_control.start(tiny_config(), max_jobs=1)
    with pytest.raises(InputError, match=f"at most 1 runs .* {first} is; stop one or wait"):
        job_control.start(tiny_config(), max_jobs=1)
    past = time.time() - 60
    os.utime(job_control.run_directory(first).path / "heartbeat", (past, past))
    second = job_control.start(tiny_config(), max_jobs=1)
    assert second != first
    with pytest.raises(InputError, match="at most 1"):
        job_control.resume(first, max_jobs=1)


@pytest.mark.usefixtures("no_children")
def test_resume_of_a_lost_run_forgets_the_request_to_stop() -> None:
    run = create_run(tiny_config())
    run.write_status(RunStatus("running", epoch=1, num_epochs=2))
    run.request_stop()
    past = time.time() - 60
    os.utime(run.path / "heartbeat", (past, past))
    job_control.resume(run.run_id)
    assert not run.stop_requested()
    assert (run.status().state, run.status().epoch) == ("starting", 1)


@pytest.mark.parametrize("state", ["finished", "starting", "running"])
def test_resume_needs_an_ended_unfinished_run(state) -> None:
    run = create_run(tiny_config())
    run.write_status(RunStatus(state))
    with pytest.raises(InputError, match=f"but it is {state}"):
        job_control.resume(run.run_id)


def test_run_that_a_process_still_holds_is_not_deleted() -> None:
    run = create_run(tiny_config())
    run.write_status(RunStatus("stopped"))
    with run.lock(), pytest.raises(InputError, match="another process"):
        job_control.delete(run.run_id)
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
        job_control.delete(run_id)
    assert outside.is_dir()


def test_runs_are_listed_newest_first_and_damaged_ones_as_failed() -> None:
    runs = [create_run(tiny_config(title=str(number))) for number in range(3)]
    for age, run in enumerate(runs):
        created = time.time() - 100 + age
        os.utime(run.path / "config.json", (created, created))
    (runs[1].path / "config.json").write_text("[")
    created = time.time() - 99
    os.utime(runs[1].path / "config.json", (created, created))
    summaries = job_control.list_runs()
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


def test_a_child_process_evaluates_stops_on_request_and_goes_on(checkpoints) -> None:
    run_id = job_control.start_evaluation(make_plan(checkpoints))
    run = job_control.evaluation_directory(run_id)

    def wait(condition: Callable[[EvaluationStatus], bool]) -> EvaluationStatus:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            status = run.status(lost_after=PATIENCE)
            if condition(status):
                return status
            time.sleep(0.05)
        raise AssertionError("\n".join(run.log_tail()))

    wait(lambda status: status.phase == "attack")
    with pytest.raises(InputError, match="is active"):
        job_control.delete_evaluation(run_id)
    with pytest.raises(InputError, match=f"at most 1 .* {run_id} is; stop one or wait"):
        job_control.start(tiny_config(), max_jobs=1)
    job_control.stop_evaluation(run_id)
    assert wait(lambda status: not status.active).state == "stopped"
    assert run.results().checkpoints[0].clean.num_images == 6

    shorter = make_plan(checkpoints, attacks=[{"name": "fgsm"}])
    (run.path / "plan.json").write_text(shorter.to_json())
    job_control.resume_evaluation(run_id)
    assert wait(lambda status: not status.active).state == "finished"
    summary = job_control.list_evaluations()[0]
    assert (summary.run_id, summary.checkpoints, summary.attacks) == (run_id, ("tiny",), ("fgsm",))
    assert job_control.list_runs() == []
    job_control.delete_evaluation(run_id)
    assert job_control.list_evaluations() == []


@pytest.mark.usefixtures("no_children")
def test_evaluations_count_against_the_limit_of_runs(checkpoints) -> None:
    plan = make_plan(checkpoints)
    first, second = job_control.start(tiny_config()), job_control.start_evaluation(plan)
    with pytest.raises(InputError, match=r"at most 2 runs .* are; stop one or wait"):
        job_control.start_evaluation(plan)
    with pytest.raises(InputError, match="unknown evaluation"):
        job_control.stop_evaluation(first)
    with pytest.raises(InputError, match=f"'{second}' should be stopped, failed or lost"):
        job_control.resume_evaluation(second)


def test_a_damaged_evaluation_is_listed_as_failed(checkpoints) -> None:
    run = create_evaluation(make_plan(checkpoints))
    (run.path / "plan.json").write_text('{"attacks": 3, "checkpoints"')
    summary = job_control.list_evaluations()[0]
    assert (summary.status.state, summary.attacks) == ("failed", ())
    assert "plan.json" in str(summary.status.error)
