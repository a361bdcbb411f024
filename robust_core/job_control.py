"""Training runs and evaluations as child processes: start, stop, resume, delete, list.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust_core.config.run import RunConfig, parse_json_object
from robust_core.errors import InputError
from robust_core.evaluation_runs.directory import (
    EvaluationDirectory,
    EvaluationStatus,
    create_evaluation,
    evaluations_folder,
)
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.jobs.directory import StatusT, WorkDirectory
from robust_core.paths import REPOSITORY
from robust_core.registry import unknown_name
from robust_core.training.run_directory import (
    RunDirectory,
    RunStatus,
    create_run,
    runs_folder,
)

MAX_JOBS = 2
ENDING_SECONDS = 3.0  # in which a child that has written its last status lets go of its directory
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


@dataclass(frozen=True)
class EvaluationSummary:
    """One evaluation in a list.

    Attributes:
        run_id: its name.
        title: what the person called it.
        checkpoints: the models. attacks: registered names.
        created: time of its making, seconds since 1970.
        status: where it stands.
    """

    run_id: str
    title: str
    checkpoints: tuple[str, ...]
    attacks: tuple[str, ...]
    created: float
    status: EvaluationStatus


def start(config: RunConfig, *, max_jobs: int = MAX_JOBS) -> str:
    """Start a training run in a process of its own and return its id.

    Args:
        config: what to do.
        max_jobs: runs and evaluations that may be active at once.

    Raises:
        InputError: that many are active already, or the run cannot be written.
    """
    return _start(lambda: create_run(config), max_jobs)


def start_evaluation(plan: EvaluationPlan, *, max_jobs: int = MAX_JOBS) -> str:
    """Start an evaluation in a process of its own and return its id; otherwise as `start`."""
    return _start(lambda: create_evaluation(plan), max_jobs)


def stop(run_id: str) -> None:
    """Ask a run to save and stop; it does so within seconds, also while it starts.

    Raises:
        InputError: no such run, or it is not active.
    """
    _stop(run_directory(run_id))


def stop_evaluation(run_id: str) -> None:
    """Ask an evaluation to stop; what it has done is kept. Otherwise as `stop`."""
    _stop(evaluation_directory(run_id))


def resume(run_id: str, *, max_jobs: int = MAX_JOBS) -> None:
    """Go on with a run that was stopped, failed or lost, after its last complete epoch.

    Raises:
        InputError: no such run; it is active or finished; too many runs are active.
    """
    _resume(run_directory(run_id), max_jobs)


def resume_evaluation(run_id: str, *, max_jobs: int = MAX_JOBS) -> None:
    """Go on with an evaluation, after its last complete batch; otherwise as `resume`."""
    _resume(evaluation_directory(run_id), max_jobs)


def delete(run_id: str) -> None:
    """Remove a run and everything in it.

    Raises:
        InputError: no such run, it is active, or it cannot be removed.
    """
    _delete(run_directory(run_id))


def delete_evaluation(run_id: str) -> None:
    """Remove an evaluation and everything in it; otherwise as `delete`."""
    _delete(evaluation_directory(run_id))


def list_runs() -> list[RunSummary]:
    """Return all runs, the newest first; damaged ones are listed as failed."""
    summaries = [_summary(run) for run in _runs()]
    return sorted(summaries, key=lambda summary: (summary.created, summary.run_id), reverse=True)


def list_evaluations() -> list[EvaluationSummary]:
    """Return all evaluations, the newest first; damaged ones are listed as failed."""
    summaries = [_evaluation_summary(run) for run in _evaluations()]
    return sorted(summaries, key=lambda summary: (summary.created, summary.run_id), reverse=True)


def run_directory(run_id: str) -> RunDirectory:
    """Return the directory of a run.

    Raises:
        InputError: no such run, or something that is no run id.
    """
    return RunDirectory(_find(run_id, runs_folder(), "run"))


def evaluation_directory(run_id: str) -> EvaluationDirectory:
    """Return the directory of an evaluation.

    Raises:
        InputError: no such evaluation, or something that is no id.
    """
    return EvaluationDirectory(_find(run_id, evaluations_folder(), "evaluation"))


def _find(run_id: str, parent: Path, kind: str) -> Path:
    path = parent / run_id if RUN_ID.fullmatch(run_id) else None
    if path is None or path.is_symlink() or not path.is_dir():
        raise unknown_name(kind, run_id[:200], [path.name for path in _folders(parent)])
    return path


def _folders(parent: Path) -> list[Path]:
    try:
        folders = [path for path in parent.iterdir() if RUN_ID.fullmatch(path.name)]
    except OSError:
        return []
    return [path for path in folders if path.is_dir() and not path.is_symlink()]


def _runs() -> list[RunDirectory]:
    return [RunDirectory(path) for path in _folders(runs_folder())]


def _evaluations() -> list[EvaluationDirectory]:
    return [EvaluationDirectory(path) for path in _folders(evaluations_folder())]


def _summary(run: RunDirectory) -> RunSummary:
    created, values, status = _described(run, "config.json")
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


def _evaluation_summary(run: EvaluationDirectory) -> EvaluationSummary:
    created, values, status = _described(run, "plan.json")
    return EvaluationSummary(
        run_id=run.run_id,
        title=str(values.get("title", "")),
        checkpoints=tuple(map(str, _list(values.get("checkpoints")))),
        attacks=tuple(_name(choice) for choice in _list(values.get("attacks"))),
        created=created,
        status=status,
    )


def _described(run: WorkDirectory[StatusT], name: str) -> tuple[float, dict[str, Any], StatusT]:
    """Return when the file that says what to do was made, its content, and the status."""
    created = 0.0
    try:
        file = run.path / name
        created = file.stat().st_mtime
        return created, parse_json_object(file.read_bytes(), name), run.status()
    except (OSError, InputError):
        return created, {}, run.failed(f"{name} is missing or damaged")


def _name(choice: Any) -> str:
    return str(choice.get("name", "")) if isinstance(choice, dict) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _start(create: Callable[[], WorkDirectory[Any]], max_jobs: int) -> str:
    with _one_at_a_time():
        _check_room(max_jobs)
        run = create()
        _launch(run)
    return run.run_id


def _stop(run: WorkDirectory[Any]) -> None:
    status = run.status()
    if not status.active:
        raise InputError(
            f"{run.kind} {run.run_id!r} should be active to be stopped, but it is {status.state}"
        )
    run.request_stop()


def _resume(run: WorkDirectory[Any], max_jobs: int) -> None:
    with _one_at_a_time():
        status = run.status()
        if status.active or status.state == "finished":
            raise InputError(
                f"{run.kind} {run.run_id!r} should be stopped, failed or lost to be resumed, but "
                f"it is {status.state}"
            )
        _check_room(max_jobs)
        with run.lock(ENDING_SECONDS):
            fresh = run.fresh_status()
            run.withdraw_stop()
            run.beat()
            run.write_status(fresh)
        _launch(run)


def _delete(run: WorkDirectory[Any]) -> None:
    if run.status().active:
        raise InputError(f"{run.kind} {run.run_id!r} is active; stop it before deleting it")
    doomed = run.path.with_name(f".deleted-{run.run_id}")
    try:
        with run.lock(ENDING_SECONDS):
            run.path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise InputError(f"{run.kind} {run.run_id!r} cannot be deleted: {error.strerror}") from None


def _check_room(max_jobs: int) -> None:
    active = [run.run_id for run in (*_runs(), *_evaluations()) if run.status().active]
    if len(active) >= max_jobs:
        raise InputError(
            f"at most {max_jobs} runs may be active at once, and {', '.join(sorted(active))} "
            f"{'is' if len(active) == 1 else 'are'}; stop one or wait"
        )


def _launch(run: WorkDirectory[Any]) -> None:
    """Start the child; its words go to the run's log, its signals come from nobody's terminal.

    Its threads sleep while they wait instead of spinning: with more runs than cores, and a page
    beside them, that makes training several times as fast.
    """
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "robust_core", run.command, "--quiet", "--run", str(run.path)]
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
        sentence = f"{run.kind} {run.run_id!r} cannot be started: {error.strerror}"
        run.write_status(run.failed(sentence))
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
