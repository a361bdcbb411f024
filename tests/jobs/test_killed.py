"""What processes leave behind that are killed in the middle of their work."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robust_core import jobs
from robust_core.errors import InputError
from robust_core.paths import REPOSITORY
from robust_core.training.directory import RunDirectory, RunStatus
from tests.pretended import end_processes, pretend_processes
from tests.shelves import use_only
from tests.training.conftest import tiny_config

HOLDER = """
import sys, time
from pathlib import Path
from robust_core.jobs.lock import take

lock = take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    use_only(tmp_path, monkeypatch)
    pretend_processes(monkeypatch)
    yield tmp_path
    end_processes()


@pytest.fixture
def run() -> RunDirectory:
    run = RunDirectory.create(tiny_config())
    run.write_status(RunStatus("running", epoch=1, num_epochs=2))
    return run


def start_holder(run: RunDirectory) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", HOLDER, str(run.path / "lock")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    return child


def kill(child: "subprocess.Popen[bytes]") -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


@pytest.mark.slow
def test_a_killed_process_is_lost_at_once_and_blocks_nothing(run) -> None:
    child = start_holder(run)
    try:
        assert run.status().state == "running"
        waiting = jobs.start(tiny_config(), max_jobs=1)
        assert jobs.find(RunDirectory, waiting).status().state == "queued"
        jobs.delete(jobs.find(RunDirectory, waiting))
        with pytest.raises(InputError, match="is active"):
            jobs.delete(run)
    finally:
        kill(child)
    assert run.status().state == "lost"
    jobs.resume(run, max_jobs=1)
    assert (run.status().state, run.status().epoch) == ("starting", 1)
    end_processes()
    assert run.status().state == "lost"
    jobs.start(tiny_config(), max_jobs=1)
    jobs.delete(run)
    assert not run.path.exists()


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_clock_that_is_wrong_changes_nothing(run, year) -> None:
    then = (year - 1970) * 365.25 * 86400
    os.utime(run.path / "heartbeat", (then, then))
    assert run.status().state == "lost"
    child = start_holder(run)
    try:
        status = run.status()
        assert (status.state, status.silent) == ("running", year == 1970)
    finally:
        kill(child)
    assert run.status().state == "lost"


def test_a_job_whose_watcher_dies_before_its_process_begins_is_lost(run) -> None:
    run_id = jobs.start(tiny_config())
    assert jobs.find(RunDirectory, run_id).status().state == "starting"
    end_processes()
    assert jobs.find(RunDirectory, run_id).status().state == "lost"


@pytest.mark.slow
def test_many_that_look_do_not_keep_a_process_from_its_lock(run) -> None:
    looking = [start_looking(run) for _ in range(3)]
    try:
        for _ in range(20):
            with run.lock():
                pass
    finally:
        for child in looking:
            kill(child)


def start_looking(run: RunDirectory) -> "subprocess.Popen[bytes]":
    look = (
        HOLDER.replace("lock = take(Path(sys.argv[1]))", "")
        .replace("take", "is_held")
        .replace("time.sleep(600)", "while True: is_held(Path(sys.argv[1])); time.sleep(0.002)")
    )
    (run.path / "lock").touch()
    command = [sys.executable, "-c", look, str(run.path / "lock")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def test_a_start_that_dies_before_its_configuration_is_written_leaves_nothing(
    shelf, monkeypatch
) -> None:
    kept = RunDirectory.create(tiny_config())

    def die(path: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("robust_core.jobs.directory.write_atomically", die)
        with pytest.raises(KeyboardInterrupt):
            jobs.start(tiny_config())
    assert visible(shelf / "runs") == [kept.path]
    for name in (".new-digits-1", ".deleted-digits-2"):  # as kill -9 would leave them
        (shelf / "runs" / name).mkdir()
        (shelf / "runs" / name / ".config.json.x.part").touch()
    assert len(jobs.summaries(RunDirectory)) == 1
    other = RunDirectory.create(tiny_config())
    assert sorted(visible(shelf / "runs")) == sorted([kept.path, other.path])


def visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != ".lock"]


def test_a_run_that_is_named_is_made_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    def die(path: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("robust_core.jobs.directory.write_atomically", die)
        with pytest.raises(KeyboardInterrupt):
            RunDirectory.initialise(tmp_path / "mine" / "one", tiny_config())
    assert list((tmp_path / "mine").iterdir()) == []
    run = RunDirectory.initialise(tmp_path / "mine" / "one", tiny_config())
    assert run.config() == tiny_config()
    with pytest.raises(InputError, match="cannot be written"):
        RunDirectory.initialise(run.path, tiny_config())
    assert run.config() == tiny_config()


def test_who_takes_the_lock_sweeps_what_killed_writers_left(run) -> None:
    (run.path / "units").mkdir()
    left = [run.path / ".last.pt.abc.part", run.path / "units" / ".0.json.abc.part"]
    for path in left:
        path.touch()
    run.last.write_bytes(b"resume")
    with run.lock():
        assert not any(path.exists() for path in left)
        assert run.last.exists()
    run.write_status(RunStatus("finished", epoch=2, num_epochs=2))
    with run.lock():
        assert not run.last.exists()


def test_a_folder_without_a_configuration_can_be_deleted(shelf) -> None:
    (shelf / "runs" / "digits-old").mkdir(parents=True)
    (summary,) = jobs.summaries(RunDirectory)
    assert summary.status.state == "failed"
    with pytest.raises(InputError, match=r"config\.json"):
        jobs.resume(jobs.find(RunDirectory, "digits-old"))
    jobs.delete(jobs.find(RunDirectory, "digits-old"))
    assert jobs.summaries(RunDirectory) == []


def test_a_deletion_that_was_killed_is_finished_by_the_next_one(run, shelf) -> None:
    left = shelf / "runs" / f".deleted-{run.run_id}"
    left.mkdir()
    (left / "config.json").touch()
    jobs.delete(run)
    assert visible(shelf / "runs") == []
