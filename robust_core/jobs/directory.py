"""A directory that a working process and a page share: status, heartbeat, log, request to stop."""

import errno
import fcntl
import json
import logging
import os
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args

import torch

from robust_core.config.run import parse_json_object
from robust_core.errors import InputError
from robust_core.files import write_atomically

State = Literal["starting", "running", "finished", "stopped", "failed", "lost"]
LOST_AFTER = 20.0  # seconds without a heartbeat; importing torch on a busy machine takes a few
HEARTBEAT_INTERVAL = 2.0  # seconds
STATUS_INTERVAL = 0.5  # seconds between two writings of the status
LOCK_INTERVAL = 0.05  # seconds between two attempts at the lock
LONGEST_LOG = 1_000_000  # bytes of the log's end that are looked at

logger = logging.getLogger("robust_core.training")


class StopRequested(Exception):  # noqa: N818 (a request, not an error)
    """Somebody asked the work to stop."""


@dataclass(frozen=True)
class WorkStatus:
    """Where a piece of work stands.

    Attributes:
        state: "starting", "running", "finished", "stopped", "failed", or "lost" when it should be
            alive but its heartbeat is old.
        seconds_left: estimate; None while unknown or not running.
        heartbeat_age: seconds since the last sign of life; None without any.
        error: one sentence, when failed.
        phase: what is being done now; "" at the end.
        note: one sentence about how the work ended.
    """

    state: State
    seconds_left: float | None = field(default=None, kw_only=True)
    heartbeat_age: float | None = field(default=None, kw_only=True)
    error: str | None = field(default=None, kw_only=True)
    phase: str = field(default="", kw_only=True)
    note: str | None = field(default=None, kw_only=True)

    @property
    def active(self) -> bool:
        """Whether the work is being done."""
        return self.state in ("starting", "running")


StatusT = TypeVar("StatusT", bound=WorkStatus)


@dataclass(frozen=True)
class WorkDirectory(ABC, Generic[StatusT]):
    """The files by which a process is started, watched and stopped.

    status.json, log.txt, heartbeat (its time of change is the sign of life), stop (a request), lock
    (held while a process is at work in it).

    Attributes:
        path: the folder.
        kind: a word for sentences. command: of `python -m robust_core`, does the work.
        Status: the type of the status.
    """

    path: Path

    kind: ClassVar[str]
    command: ClassVar[str]
    Status: ClassVar[type[WorkStatus]]

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def log(self) -> Path:
        """The log file."""
        return self.path / "log.txt"

    def status(self, *, lost_after: float = LOST_AFTER) -> StatusT:
        """Return where the work stands; never fails, whatever the files contain.

        Args:
            lost_after: seconds without a heartbeat after which active work counts as lost.
        """
        age = self._heartbeat_age()
        status = replace(self._stored_status(), heartbeat_age=age)
        if status.active and (age is None or age > lost_after):
            return replace(status, state="lost", seconds_left=None)
        return status

    def write_status(self, status: StatusT) -> None:
        """Replace status.json; the heartbeat's age is not stored."""
        values = asdict(status)
        del values["heartbeat_age"]
        write_atomically(self.path / "status.json", (json.dumps(values) + "\n").encode())

    @abstractmethod
    def fresh_status(self) -> StatusT:
        """Return the status to begin or go on with; raise `InputError` where that cannot be."""

    def failed(self, error: str) -> StatusT:
        """Return the status of work that failed for the reason given in one sentence."""
        return self.Status("failed", error=error)  # type: ignore[return-value]

    def log_tail(self, num_lines: int = 50) -> list[str]:
        """Return the last lines of the log, without line ends; empty if there is none."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LOG))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return []
        return text.splitlines()[-num_lines:]

    def request_stop(self) -> None:
        """Ask the process that is at work to save and stop."""
        (self.path / "stop").touch()

    def withdraw_stop(self) -> None:
        """Forget an earlier request to stop."""
        (self.path / "stop").unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        """Return whether somebody asked the work to stop."""
        return (self.path / "stop").exists()

    def beat(self) -> None:
        """Give a sign of life."""
        (self.path / "heartbeat").touch()

    @contextmanager
    def heartbeat(self, interval: float = HEARTBEAT_INTERVAL) -> Iterator[None]:
        """Give a sign of life every `interval` seconds from a thread of this process."""
        ended = threading.Event()

        def keep_beating() -> None:
            while not ended.wait(interval):
                try:
                    self.beat()
                except OSError:
                    logging.getLogger(__name__).warning("the heartbeat cannot be written")

        self.beat()
        thread = threading.Thread(target=keep_beating, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def lock(self, patience: float = 0.0) -> Iterator[None]:
        """Hold the directory for this process; the system lets go of it when the process dies.

        Args:
            patience: seconds to wait for a process that has finished and is about to end.

        Raises:
            InputError: the folder does not exist, or a process is at work in it.
        """
        try:
            file = (self.path / "lock").open("w")
        except OSError:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise InputError(
                f"{self.path} should be {article} {self.kind} directory, but is none"
            ) from None
        deadline = time.monotonic() + patience
        with file:
            while not _locked(file):
                if time.monotonic() >= deadline:
                    raise InputError(
                        f"{self.kind} {self.run_id!r} is being worked on by another process"
                    )
                time.sleep(LOCK_INTERVAL)
            yield

    def _heartbeat_age(self) -> float | None:
        try:
            return max(0.0, time.time() - (self.path / "heartbeat").stat().st_mtime)
        except OSError:
            return None

    def _stored_status(self) -> StatusT:
        try:
            text = (self.path / "status.json").read_bytes()
            values = parse_json_object(text, "status.json")
            names = {field.name for field in fields(self.Status)}
            known: Any = {key: value for key, value in values.items() if key in names}
            status = self.Status(**known)
        except (OSError, InputError, TypeError):
            return self.failed("status.json is missing or damaged")
        if status.state not in get_args(State):
            return self.failed("status.json is damaged: it names no known state")
        return status  # type: ignore[return-value]


def make_folder(parent: Path, stem: str) -> Path:
    """Make and return a new folder in `parent`: `stem`, the time, and a number where it is taken.

    Raises:
        OSError: the folder cannot be written.
    """
    stem = re.sub(r"[^a-z0-9_-]+", "_", stem.lower()).strip("_-")[:60]
    stem = f"{stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    number = 1
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


class Reporter(Protocol):
    """What is told about the progress of work."""

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Note changes of the status; write them at once if `now`."""


class Silence:
    """The reporter of a process whose leader reports for all."""

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Say nothing."""


@dataclass
class Progress(Generic[StatusT]):
    """Keeps status.json up to date."""

    run: WorkDirectory[StatusT]
    on_progress: Callable[[StatusT], None] | None
    status: StatusT
    written: float = 0.0

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Change the status; write it if `now`, or if the last writing is a while ago."""
        self.status = replace(self.status, **changes)
        if now or time.monotonic() - self.written >= STATUS_INTERVAL:
            self.written = time.monotonic()
            self.run.write_status(self.status)
            if self.on_progress is not None:
                self.on_progress(self.status)


@contextmanager
def recorded(
    progress: Progress[Any], *, so_far: Callable[[], str], kept: Callable[[], str]
) -> Iterator[None]:
    """Beat, log and note how the work ends, whatever happens.

    Args:
        progress: with the status to begin with.
        so_far: how far the work has come, such as "after epoch 3", for the log.
        kept: what is safe when the disk is full, such as "nothing was kept".
    """
    run = progress.run
    with run.heartbeat(), _log_file(run):
        try:
            progress.update(now=True)
            yield
        except StopRequested:
            logger.info("stopped on request %s", so_far())
            progress.update(now=True, state="stopped", phase="", seconds_left=None)
            run.withdraw_stop()
        except KeyboardInterrupt:
            logger.info("interrupted %s", so_far())
            progress.update(now=True, state="stopped", phase="", seconds_left=None)
            raise
        except (InputError, OSError, MemoryError, torch.OutOfMemoryError) as error:
            sentence = _sentence(error, run, kept)
            _note_failure(progress, sentence)
            raise InputError(sentence) from error
        except Exception as error:
            logger.exception("unexpected error")
            _note_failure(progress, f"unexpected {type(error).__name__}: {error}"[:500])
            raise


def _note_failure(progress: Progress[Any], sentence: str) -> None:
    logger.error(sentence)
    try:
        progress.update(now=True, state="failed", error=sentence, phase="", seconds_left=None)
    except OSError:
        logger.error("the status cannot be written either")


def _sentence(error: BaseException, run: WorkDirectory[Any], kept: Callable[[], str]) -> str:
    if isinstance(error, InputError):
        return str(error)
    name = f"{run.kind} {run.run_id!r}"
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else (error.strerror or str(error)).lower()
        return f"{name} could not be saved because {reason}; {kept()}"
    return f"{name} ran out of memory; expected a smaller batch size or network"


@contextmanager
def _log_file(run: WorkDirectory[Any]) -> Iterator[None]:
    """Copy what this package logs into the log.txt of `run`."""
    package = logging.getLogger("robust_core")
    handler = logging.FileHandler(run.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    level = package.level
    package.setLevel(min(level, logging.INFO) if level else logging.INFO)
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        handler.close()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
