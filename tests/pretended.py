"""Jobs without processes: what takes the place of starting one."""

from typing import Any

import pytest
from filelock import FileLock

from robust_core.jobs.directory import WorkDirectory

HELD: dict[str, FileLock] = {}  # jobs that seem to have a process


def pretend_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every job that is started seem to have a process; those of earlier tests end."""
    end_processes()
    monkeypatch.setattr("robust_core.jobs.control._launch", _launch)


def hold(job: WorkDirectory[Any, Any]) -> None:
    """Let a job seem to have a process."""
    _launch(job, job.launching())


def end_processes() -> None:
    """End all of these, as kill -9 would."""
    while HELD:
        HELD.popitem()[1].release()


def _launch(job: WorkDirectory[Any, Any], launching: FileLock) -> None:
    HELD[job.run_id] = launching
