"""Training runs as child processes: start, stop, resume, delete, list.

A run is known by its directory only. Nothing here remembers a process or believes in a process id,
so runs survive the end of the program that started them.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from robust_core.errors import InputError
from robust_core.paths import REPOSITORY
from robust_core.registry import unknown_name
from robust_core.training.config import RunConfig, parse_json_object
from robust_core.training.run_directory import (
    RunDirectory,
    RunStatus,
    create_run,
    runs_folder,
)

MAX_JOBS = 2
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class RunSummary:
    """One run in a list.

    Attributes:
        run_id: its name.
        title: what the person called it. data, model, method: registered names.
        created: time of its making, seconds since 1970.
        status: where it stands.
        has_model: whether it has a checkpoint, "runs/<run_id>".
    """

    run_id: str
    title: str
    data: str
    model: str
    method: str
    created: float
    status: RunStatus
    has_model: bool


def start(config: RunConfig, *, max_jobs: int = MAX_JOBS) -> str:
    """Start a training run in a process of its own and return its id.

    Args:
        config: what to do.
        max_jobs: runs that may be active at once.

    Raises:
        InputError: that many runs are active already, or the run cannot be written.
    """
    with _one_at_a_time():
        _check_room(max_jobs)
        run = create_run(config)
        _launch(run)
    return run.run_id


def stop(run_id: str) -> None:
    """Ask a run to save and stop; it does so within seconds, also while it starts.

    Raises:
        InputError: no such run, or it is not active.
    """
    run = run_directory(run_id)
    status = run.status()
    if not status.active:
        raise InputError(f"run {run_id!r} should be active to be stopped, but it is {status.state}")
    run.request_stop()


def resume(run_id: str, *, max_jobs: int = MAX_JOBS) -> None:
    """Go on with a run that was stopped, failed or lost, after its last complete epoch.

    Raises:
        InputError: no such run; it is active or finished; too many runs are active.
    """
    run = run_directory(run_id)
    with _one_at_a_time():
        status = run.status()
        if status.active or status.state == "finished":
            raise InputError(
                f"run {run_id!r} should be stopped, failed or lost to be resumed, but it is "
                f"{status.state}"
            )
        _check_room(max_jobs)
        with run.lock():
            config = run.config()
            run.withdraw_stop()
            run.beat()
            run.write_status(RunStatus("starting", status.epoch, config.epochs, phase="starting"))
        _launch(run)


def delete(run_id: str) -> None:
    """Remove a run and everything in it.

    Raises:
        InputError: no such run, it is active, or it cannot be removed.
    """
    run = run_directory(run_id)
    if run.status().active:
        raise InputError(f"run {run_id!r} is active; stop it before deleting it")
    doomed = run.path.with_name(f".deleted-{run_id}")
    try:
        with run.lock():
            run.path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise InputError(f"run {run_id!r} cannot be deleted: {error.strerror}") from None


def list_runs() -> list[RunSummary]:
    """Return all runs, the newest first; damaged ones are listed as failed."""
    summaries = [_summary(run) for run in _runs()]
    return sorted(summaries, key=lambda summary: (summary.created, summary.run_id), reverse=True)


def run_directory(run_id: str) -> RunDirectory:
    """Return the directory of a run.

    Raises:
        InputError: no such run, or something that is no run id.
    """
    path = runs_folder() / run_id if RUN_ID.fullmatch(run_id) else None
    if path is None or path.is_symlink() or not path.is_dir():
        raise unknown_name("run", run_id[:200], [run.run_id for run in _runs()])
    return RunDirectory(path)


def _runs() -> list[RunDirectory]:
    try:
        folders = [path for path in runs_folder().iterdir() if RUN_ID.fullmatch(path.name)]
    except OSError:
        return []
    return [RunDirectory(path) for path in folders if path.is_dir() and not path.is_symlink()]


def _summary(run: RunDirectory) -> RunSummary:
    status = run.status()
    values: dict[str, Any] = {}
    created = 0.0
    try:
        file = run.path / "config.json"
        created = file.stat().st_mtime
        values = parse_json_object(file.read_bytes(), "config.json")
    except (OSError, InputError):
        status = RunStatus("failed", error="config.json is missing or damaged")
    return RunSummary(
        run_id=run.run_id,
        title=str(values.get("title", "")),
        data=_name(values.get("data")),
        model=_name(values.get("model")),
        method=_name(values.get("method")),
        created=created,
        status=status,
        has_model=run.best.is_file(),
    )


def _name(choice: Any) -> str:
    return str(choice.get("name", "")) if isinstance(choice, dict) else ""


def _check_room(max_jobs: int) -> None:
    active = [run.run_id for run in _runs() if run.status().active]
    if len(active) >= max_jobs:
        raise InputError(
            f"at most {max_jobs} runs may be active at once, and {', '.join(sorted(active))} "
            f"{'is' if len(active) == 1 else 'are'}; stop one or wait"
        )


def _launch(run: RunDirectory) -> None:
    """Start the child; its words go to the run's log, its signals come from nobody's terminal.

    Its threads sleep while they wait instead of spinning: with more runs than cores, and a page
    beside them, that makes training several times as fast.
    """
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "robust_core", "train", "--quiet", "--run", str(run.path)]
    try:
        with run.log.open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path},
            )
    except OSError as error:
        sentence = f"run {run.run_id!r} cannot be started: {error.strerror}"
        run.write_status(RunStatus("failed", error=sentence))
        raise InputError(sentence) from None
    # somebody has to take the child's exit status, or it stays a zombie
    threading.Thread(target=child.wait, name=f"reap {run.run_id}", daemon=True).start()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep two starts from both finding the last free place."""
    try:
        runs_folder().mkdir(parents=True, exist_ok=True)
        descriptor = os.open(runs_folder() / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"the runs folder cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
