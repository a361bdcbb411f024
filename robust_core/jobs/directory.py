"""A directory that a working process and a page share: status, heartbeat, log, request to stop."""

import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from filelock import FileLock
from pydantic import Field, TypeAdapter, ValidationError

from robust_core.errors import InputError
from robust_core.files import parse_json_object, reason_words, write_atomically
from robust_core.jobs.folders import free_path, make_whole, one_at_a_time
from robust_core.jobs.lock import PATIENCE, is_held, take
from robust_core.parameters import validation_sentence
from robust_core.paths import checkpoints_folder

State = Literal["queued", "starting", "running", "finished", "stopped", "failed", "lost"]
SILENT_AFTER = 20.0  # seconds without a heartbeat; importing torch on a busy machine takes a few
Seconds = Annotated[float, Field(ge=-1e12, le=1e12)]
Count = Annotated[int, Field(ge=0, le=10**12)]
LONGEST_LOG = 1_000_000  # bytes of the log's end that are looked at
_reader = cache(TypeAdapter)  # one of each kind of status: making it takes 20 times a reading


@dataclass(frozen=True)
class WorkStatus:
    """Where a piece of work stands.

    Attributes:
        state: "queued" while it waits for a free place, "starting", "running", "finished",
            "stopped", "failed", or "lost" when it has not ended but no process holds its lock.
        seconds_left: estimate; None while unknown or not running.
        heartbeat_age: seconds since the last sign of life; None without any.
        error: one sentence, when failed.
        phase: what is being done now; "" at the end.
        note: one sentence about how the work ended.
        stopping: whether it is being done and somebody has asked it to stop.
    """

    state: State
    seconds_left: Seconds | None = field(default=None, kw_only=True)
    heartbeat_age: float | None = field(default=None, kw_only=True)
    error: str | None = field(default=None, kw_only=True)
    phase: str = field(default="", kw_only=True)
    note: str | None = field(default=None, kw_only=True)
    stopping: bool = field(default=False, kw_only=True)

    @property
    def active(self) -> bool:
        """Whether the work is being done."""
        return self.state in ("starting", "running")

    @property
    def pending(self) -> bool:
        """Whether the state changes without anybody's doing: at work, or waiting for a place."""
        return self.active or self.state == "queued"

    @property
    def silent(self) -> bool:
        """Whether a process is there but gives no sign of life, as one that hangs or is paused."""
        return self.active and (self.heartbeat_age is None or self.heartbeat_age > SILENT_AFTER)

    @property
    def words(self) -> str:
        """The state, and since when a process that is there does not respond."""
        if not self.silent:
            return "stopping" if self.stopping else self.state
        if self.heartbeat_age is None:
            return f"{self.state}, not responding"
        since = datetime.now().astimezone() - timedelta(seconds=self.heartbeat_age)
        return f"{self.state}, not responding since {since:%d %b %H:%M:%S}"


@dataclass(frozen=True)
class WorkSummary:
    """One piece of work in a list.

    Attributes:
        run_id: its name.
        title: what the person called it.
        created: time of its making, seconds since 1970.
        status: where it stands.
        owner: whose it is; "" where nobody asked.
    """

    run_id: str
    title: str
    created: float
    status: WorkStatus
    owner: str = field(default="", kw_only=True)


StatusT = TypeVar("StatusT", bound=WorkStatus)
SummaryT = TypeVar("SummaryT", bound=WorkSummary)


@dataclass(frozen=True)
class WorkDirectory(ABC, Generic[StatusT, SummaryT]):
    """The files by which a process is started, watched and stopped.

    status.json, log.txt, owner, heartbeat (its time of change is the sign of life), stop (a
    request), lock (held while a process is at work in it), launcher (held while a process that was
    started by another is watched by that one). Whoever holds one of the locks is alive, nobody
    else is; the heartbeat only tells one that hangs from one that works.

    Attributes:
        path: the folder.
        kind: a word for sentences. command: of `python -m robust_core`, does the work.
        kind_folder: the folder of all of that kind, among the checkpoints.
        plan_file: says what to do.
        Status: the type of the status. Plan: that of what there is to do.
    """

    path: Path

    kind: ClassVar[str]
    command: ClassVar[str]
    kind_folder: ClassVar[str]
    plan_file: ClassVar[str]
    Status: ClassVar[type[WorkStatus]]
    Plan: ClassVar[type]

    @classmethod
    def folder(cls) -> Path:
        """Return the folder of all work of this kind."""
        return checkpoints_folder() / cls.kind_folder

    @classmethod
    def create(cls, plan: Any) -> Self:
        """Make the directory of new work in the folder of its kind, in state "starting".

        Its name says what it is about and when it was made, such as
        "digits-trades-20260131-142501", with a number behind it where that is taken.

        Raises:
            InputError: the plan asks for something that is not there, or the folder cannot be
                written.
        """
        stem = cls.stem(plan)
        with one_at_a_time(cls.folder()):
            return cls.initialise(free_path(cls.folder(), stem), plan)

    @classmethod
    def initialise(cls, path: Path, plan: Any) -> Self:
        """Make the folder `path` of new work: with all its first files, or not at all.

        Raises:
            InputError: it cannot be written, or is there with something in it.
        """

        def write(folder: Path) -> None:
            work = cls(folder)
            write_atomically(folder / cls.plan_file, plan.to_json().encode())
            work.beat()
            work.write_status(work.fresh_status())

        try:
            make_whole(path, write)
        except OSError as error:
            raise InputError(
                f"the {cls.kind} folder {path} cannot be written: {error.strerror}"
            ) from None
        return cls(path)

    @classmethod
    @abstractmethod
    def stem(cls, plan: Any) -> str:
        """Return what the folder's name begins with; raise `InputError` where nothing can be."""

    @abstractmethod
    def summary(self) -> SummaryT:
        """Return what a list says of it; never fails, whatever the files contain."""

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def log(self) -> Path:
        """The log file."""
        return self.path / "log.txt"

    def status(self) -> StatusT:
        """Return where the work stands; never fails, whatever the files contain."""
        status = self._stored_status()
        if status.active and not self.is_held():
            status = self._stored_status()  # it may have ended since
            if status.active:
                status = replace(status, state="lost", seconds_left=None)
        stopping = status.active and self.stop_requested()
        return replace(status, heartbeat_age=self._heartbeat_age(), stopping=stopping)

    def is_held(self) -> bool:
        """Return whether a process is at work here, or one that was started for it lives."""
        return is_held(self.path / "lock") or is_held(self.path / "launcher")

    def write_status(self, status: StatusT) -> None:
        """Replace status.json; what the other files say is not stored."""
        values = asdict(status)
        del values["heartbeat_age"], values["stopping"]
        write_atomically(self.path / "status.json", (json.dumps(values) + "\n").encode())

    @abstractmethod
    def fresh_status(self) -> StatusT:
        """Return the status to begin or go on with; raise `InputError` where that cannot be."""

    def described(self) -> tuple[float, dict[str, Any], StatusT]:
        """Return when the plan was written, its values, and the status; damaged work has failed."""
        created = 0.0
        try:
            file = self.path / self.plan_file
            created = file.stat().st_mtime
            return created, parse_json_object(file.read_bytes(), self.plan_file), self.status()
        except (OSError, InputError):
            return created, {}, self.failed(f"{self.plan_file} is missing or damaged")

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
        stop = self.path / "stop"
        if stop.is_dir():
            shutil.rmtree(stop)
        else:
            stop.unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        """Return whether somebody asked the work to stop."""
        return (self.path / "stop").exists()

    def beat(self) -> None:
        """Give a sign of life."""
        (self.path / "heartbeat").touch()

    @contextmanager
    def lock(self, patience: float = PATIENCE) -> Iterator[None]:
        """Hold the directory for this process; the system lets go of it when the process dies.

        What killed processes left behind is swept away.

        Args:
            patience: seconds to wait for a process that has finished and is about to end.

        Raises:
            InputError: the folder does not exist or cannot be written, or a process is at work in
                it.
        """
        lock = self._take("lock", patience)
        try:
            self.sweep()
            yield
        finally:
            lock.release()

    def launching(self, patience: float = PATIENCE) -> FileLock:
        """Take and return the lock of whoever starts a process here and watches it.

        Raises:
            InputError: as `lock`.
        """
        return self._take("launcher", patience)

    def sweep(self) -> None:
        """Remove the temporary files of killed writers; called with the lock held."""
        for left in self.path.rglob(".*.part"):
            left.unlink(missing_ok=True)

    def _take(self, name: str, patience: float) -> FileLock:
        if not self.path.is_dir():
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise InputError(f"{self.path} should be {article} {self.kind} directory, but is none")
        lock = take(self.path / name, patience)
        if lock is None:
            raise InputError(f"{self.kind} {self.run_id!r} is being worked on by another process")
        return lock

    def _heartbeat_age(self) -> float | None:
        try:
            return max(0.0, time.time() - (self.path / "heartbeat").stat().st_mtime)
        except OSError:
            return None

    def _stored_status(self) -> StatusT:
        try:
            text = (self.path / "status.json").read_bytes()
            parse_json_object(text, "status.json")
            return _reader(self.Status).validate_json(text, strict=True)
        except FileNotFoundError:
            return self.failed("status.json is missing")
        except OSError as error:
            return self.failed(f"status.json cannot be read: {reason_words(error)}")
        except ValidationError as error:
            sentence = validation_sentence(error, [one.name for one in fields(self.Status)])
            return self.failed(f"status.json is damaged: {sentence}")
        except InputError as error:
            return self.failed(f"status.json is damaged: {error}")
