import os
import threading
import time
from pathlib import Path

import pytest

from robust_core.errors import InputError
from robust_core.files import write_atomically
from robust_core.jobs.heartbeat import heartbeat
from robust_core.training.directory import RunDirectory, RunStatus
from tests.training.conftest import tiny_config


@pytest.fixture
def run() -> RunDirectory:
    return RunDirectory.create(tiny_config())


def test_new_run(run) -> None:
    assert run.run_id.startswith("digits-pgd_at-")
    assert run.config() == tiny_config()
    with run.lock():
        assert run.status().state == "starting"
    assert run.status().num_epochs == 2
    assert run.metrics() == []
    assert run.log_tail() == []


def test_run_ids_are_unique() -> None:
    assert len({RunDirectory.create(tiny_config()).run_id for _ in range(5)}) == 5


@pytest.mark.parametrize("state", ["starting", "running"])
@pytest.mark.parametrize("age", [-(10**9), -75 * 365 * 86400, 0, 30, 10**9])  # seconds
def test_the_lock_alone_says_who_is_alive(run, state, age) -> None:
    run.write_status(RunStatus(state, seconds_left=5.0))
    then = time.time() - age
    os.utime(run.path / "heartbeat", (then, then))
    lost = run.status()
    assert (lost.state, lost.words, lost.seconds_left) == ("lost", "lost", None)
    assert lost.heartbeat_age == pytest.approx(max(0, age), abs=2)
    launching = run.launching()
    assert run.status().state == state
    launching.release()
    with run.lock():
        held = run.status()
        assert (held.state, held.silent) == (state, age >= 30)
        assert ("not responding since" in held.words) == (age >= 30)
    assert run.status().state == "lost"


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_ended_run_is_never_lost(run, state) -> None:
    run.write_status(RunStatus(state))
    (run.path / "heartbeat").unlink()
    assert run.status().state == state


def test_heartbeat_thread_beats_and_ends(run) -> None:
    past = time.time() - 30
    with heartbeat(run.beat, interval=0.02):
        os.utime(run.path / "heartbeat", (past, past))
        deadline = time.monotonic() + 5
        while run.status().heartbeat_age > 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert run.status().heartbeat_age < 10
    os.utime(run.path / "heartbeat", (past, past))
    time.sleep(0.1)
    assert run.status().heartbeat_age > 10


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"state": "dancing"}', b'{"epoch": 1}', b"\xff"]
)
def test_damaged_status_is_a_failed_run(run, content) -> None:
    (run.path / "status.json").write_bytes(content)
    status = run.status()
    assert status.state == "failed"
    assert "damaged" in str(status.error)


@pytest.mark.slow
def test_second_process_is_refused(run) -> None:
    with run.lock(), pytest.raises(InputError, match="another process"), run.lock():
        pass
    with run.lock():
        pass


@pytest.mark.slow
def test_a_process_that_is_about_to_end_is_waited_for(run) -> None:
    held = run.lock()
    held.__enter__()
    timer = threading.Timer(0.2, held.__exit__, (None, None, None))
    timer.start()
    with run.lock(patience=5.0):
        assert not timer.is_alive() or timer.finished.is_set()
    timer.join()


def test_lock_of_a_missing_folder(tmp_path) -> None:
    lock = RunDirectory(tmp_path / "none").lock()
    with pytest.raises(InputError, match="should be a run directory"), lock:
        pass


def test_log_tail_survives_broken_bytes(run) -> None:
    run.log.write_bytes(b"one\n\xff\xfe\nthree\n")
    assert run.log_tail(2)[1] == "three"


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(Path(tmp_path).iterdir()) == [path, tmp_path / "checkpoints"]
