"""Jobs as child processes: start, stop, resume, delete, list.

A job is known by its directory only. Nothing here remembers a process or believes in a process id,
so jobs survive the end of the program that started them. What there is to be done is said by the
kinds (`jobs.kinds`); nothing here knows them.
"""

import logging
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from robust_core.errors import InputError
from robust_core.jobs.directory import SummaryT, WorkDirectory
from robust_core.jobs.folders import one_at_a_time, remove
from robust_core.jobs.kinds import kinds
from robust_core.jobs.owner import owner_of, write_owner
from robust_core.paths import REPOSITORY, checkpoints_folder
from robust_core.registry import unknown_name

MAX_JOBS = 2
MAX_WAITING = 8
ENDING_SECONDS = 10.0  # in which a child that has written its last status ends
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")

JobT = TypeVar("JobT", bound=WorkDirectory[Any, Any])


def start(
    plan: Any, *, max_jobs: int = MAX_JOBS, owner: str = "", max_owned: int | None = None
) -> str:
    """Start a job in a process of its own and return its id; it waits where no place is free.

    Args:
        plan: what to do: a `RunConfig`, an `EvaluationPlan`, whatever a kind of job takes.
        max_jobs: jobs of all kinds that may be active at once.
        owner: whose it is; "" where nobody asks.
        max_owned: jobs of this owner that may be active or wait; None: any number.

    Raises:
        InputError: the queue is full, too, the owner has enough jobs, or the directory cannot be
            written.
    """
    kind = next(kind for kind in kinds() if isinstance(plan, kind.Plan))
    with one_at_a_time(checkpoints_folder()):
        _check_room(max_jobs)
        _check_owned(owner, max_owned)
        job = kind.create(plan)
        if owner:
            _give(job, owner)
        _begin_in_turn(job, max_jobs)
    return job.run_id


def stop(job: WorkDirectory[Any, Any]) -> None:
    """Ask a job to save and stop; it does so within seconds, also while it starts.

    Raises:
        InputError: it is not active.
    """
    status = job.status()
    if not status.active:
        raise InputError(
            f"{job.kind} {job.run_id!r} should be active to be stopped, but it is {status.state}"
        )
    job.request_stop()


def resume(
    job: WorkDirectory[Any, Any], *, max_jobs: int = MAX_JOBS, max_owned: int | None = None
) -> None:
    """Go on with a job that was stopped, failed or lost, after the last piece that is complete.

    Args:
        job: the job.
        max_jobs: as of `start`.
        max_owned: as of `start`; it stays its owner's.

    Raises:
        InputError: it is active, waiting or finished; the queue is full; its owner has enough jobs.
    """
    with one_at_a_time(checkpoints_folder()):
        status = job.status()
        if status.pending or status.state == "finished":
            raise InputError(
                f"{job.kind} {job.run_id!r} should be stopped, failed or lost to be resumed, but "
                f"it is {status.state}"
            )
        _check_room(max_jobs)
        _check_owned(owner_of(job.path), max_owned)
        _begin_in_turn(job, max_jobs)


def start_waiting(*, max_jobs: int = MAX_JOBS) -> None:
    """Give free places to the jobs that wait, in the order of their making.

    Called when a job ends and when a page lists jobs: whoever looks keeps the queue going. Where
    that cannot be, the log says why and they go on waiting.
    """
    if not _queue() or _is_full(max_jobs):
        return
    try:
        with one_at_a_time(checkpoints_folder()):
            _fill(max_jobs)
    except (InputError, OSError) as error:
        logging.getLogger(__name__).warning("the queue cannot go on: %s", error)


def before(job: WorkDirectory[Any, Any]) -> int:
    """Return how many jobs in the queue have their turn before this one."""
    ids = [one.path for one in _queue()]
    return ids.index(job.path) if job.path in ids else 0


def delete(job: WorkDirectory[Any, Any]) -> None:
    """Remove a job and everything in its directory.

    Raises:
        InputError: it is active, or it cannot be removed.
    """
    if job.status().active:
        raise InputError(f"{job.kind} {job.run_id!r} is active; stop it before deleting it")
    try:
        with (
            job.launching(ENDING_SECONDS),
            job.lock(ENDING_SECONDS),
            one_at_a_time(job.path.parent),
        ):
            remove(job.path)
    except OSError as error:
        raise InputError(f"{job.kind} {job.run_id!r} cannot be deleted: {error.strerror}") from None


def find(kind: type[JobT], run_id: str) -> JobT:
    """Return the directory of the job of this kind with an id.

    Raises:
        InputError: no such job, or something that is no id.
    """
    path = kind.folder() / run_id if RUN_ID.fullmatch(run_id) else None
    if path is None or path.is_symlink() or not path.is_dir():
        known = [path.name for path in _folders(kind.folder())]
        raise unknown_name(kind.kind, run_id[:200], known)
    return kind(path)


def summaries(kind: type[WorkDirectory[Any, SummaryT]]) -> list[SummaryT]:
    """Return all jobs of a kind, the newest first; damaged ones are listed as failed."""
    folders = _folders(kind.folder())
    found = [replace(kind(path).summary(), owner=owner_of(path)) for path in folders]
    return sorted(found, key=lambda summary: (summary.created, summary.run_id), reverse=True)


def _folders(parent: Path) -> list[Path]:
    try:
        folders = [path for path in parent.iterdir() if RUN_ID.fullmatch(path.name)]
    except OSError:
        return []
    return [path for path in folders if path.is_dir() and not path.is_symlink()]


def _all() -> list[WorkDirectory[Any, Any]]:
    return [kind(path) for kind in kinds() for path in _folders(kind.folder())]


def _queue() -> list[WorkDirectory[Any, Any]]:
    """Return the jobs that wait, in the order of their making."""
    waiting = [job for job in _all() if job.status().state == "queued"]
    return sorted(waiting, key=lambda job: (job.described()[0], job.run_id))


def _check_room(max_jobs: int) -> None:
    """Raise `InputError` where neither a place is free nor one in the queue."""
    if _is_full(max_jobs) and len(_queue()) >= MAX_WAITING:
        raise InputError(
            f"at most {max_jobs} runs may be active at once and {MAX_WAITING} wait, and all of "
            "these places are taken; stop or delete one, or wait"
        )


def _check_owned(owner: str, most: int | None) -> None:
    """Raise `InputError` where `owner` has `most` jobs at work or waiting, or more."""
    if most is None:
        return
    number = sum(owner_of(job.path) == owner and job.status().pending for job in _all())
    if number >= most:
        raise InputError(
            f"a visitor may have at most {most} runs at work or waiting, and {number} are yours; "
            "wait for one to end, stop one, or leave the queue with one"
        )


def _give(job: WorkDirectory[Any, Any], owner: str) -> None:
    try:
        write_owner(job.path, owner)
    except OSError as error:
        remove(job.path)
        raise InputError(
            f"the {job.kind} folder {job.path} cannot be written: {error.strerror}"
        ) from None


def _is_full(max_jobs: int) -> bool:
    return sum(job.status().active for job in _all()) >= max_jobs


def _fill(max_jobs: int) -> None:
    """Give free places to those that wait, the first first; the caller holds the checkpoints."""
    for job in _queue():
        if _is_full(max_jobs):
            return
        try:
            _begin(job)
        except InputError as error:  # its plan is damaged, for instance: the next one's turn
            job.write_status(job.failed(str(error)))


def _enqueue(job: WorkDirectory[Any, Any]) -> None:
    """Let a job wait for its turn."""
    with job.lock(ENDING_SECONDS):
        fresh = job.fresh_status()
        job.withdraw_stop()
        job.write_status(replace(fresh, state="queued", phase=""))


def _begin_in_turn(job: WorkDirectory[Any, Any], max_jobs: int) -> None:
    """Begin a job, or let it wait where others are at work or wait already."""
    _fill(max_jobs)
    if _is_full(max_jobs):
        _enqueue(job)
    else:
        _begin(job)


def _begin(job: WorkDirectory[Any, Any]) -> None:
    """Give the job a process; until that one ends, this process holds a lock for it."""
    launching = job.launching(ENDING_SECONDS)
    try:
        with job.lock(ENDING_SECONDS):
            fresh = job.fresh_status()
            job.withdraw_stop()
            job.beat()
            job.write_status(fresh)
        _launch(job, launching)
    except BaseException as error:
        launching.release()
        if isinstance(error, OSError):
            file = Path(error.filename2 or error.filename or job.path).name
            sentence = f"{job.kind} {job.run_id!r} cannot be started: {file}: {error.strerror}"
            raise InputError(sentence) from None
        raise


def _launch(job: WorkDirectory[Any, Any], launching: FileLock) -> None:
    """Start the child; its words go to the job's log, its signals come from nobody's terminal.

    Its threads sleep while they wait instead of spinning: with more jobs than cores, and a page
    beside them, that makes training several times as fast.
    """
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "robust_core", job.command, "--quiet", "--run", str(job.path)]
    try:
        with job.log.open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path},
            )
    except OSError as error:
        job.write_status(job.failed(f"its process cannot be started: {error.strerror}"))
        raise
    # somebody has to take the child's exit status, or it stays a zombie
    watch = threading.Thread(
        target=_reap, args=(child, launching), name=f"reap {job.run_id}", daemon=True
    )
    watch.start()


def _reap(child: "subprocess.Popen[bytes]", launching: FileLock) -> None:
    """Wait for the end of a child, then let go of its directory."""
    try:
        child.wait()
    finally:
        launching.release()
    start_waiting()
