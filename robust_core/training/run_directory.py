"""The run directory: the only thing a training process and a page share."""

import fcntl
import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from robust_core.errors import InputError
from robust_core.paths import checkpoints_folder
from robust_core.training.atomic import write_atomically
from robust_core.training.config import RunConfig, parse_json_object

State = Literal["starting", "running", "finished", "stopped", "failed", "lost"]
LOST_AFTER = 20.0  # seconds without a heartbeat; importing torch on a busy machine takes a few
HEARTBEAT_INTERVAL = 2.0  # seconds
LONGEST_LOG = 1_000_000  # bytes of the log's end that are looked at


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands.

    Attributes:
        state: "starting", "running", "finished", "stopped", "failed", or "lost" when it should be
            alive but its heartbeat is old.
        epoch: complete epochs. num_epochs: epochs asked for.
        step: optimiser steps taken. num_steps: steps in the whole run; 0 until known.
        seconds_left: estimate until the card is measured; None while unknown or not running.
        heartbeat_age: seconds since the last sign of life; None without any.
        error: one sentence, when failed.
        phase: what is being done now: "starting", "training", "validation", "test"; "" at the end.
        note: one sentence about how the run ended, such as why a method stopped it early.
    """

    state: State
    epoch: int = 0
    num_epochs: int = 0
    step: int = 0
    num_steps: int = 0
    seconds_left: float | None = None
    heartbeat_age: float | None = None
    error: str | None = None
    phase: str = ""
    note: str | None = None

    @property
    def active(self) -> bool:
        """Whether the run is being worked on."""
        return self.state in ("starting", "running")


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run.

    config.json, status.json, metrics.jsonl (one line an epoch), log.txt, last.pt (everything a
    resume needs, after each epoch), best.safetensors (the checkpoint), heartbeat (its time of
    change is the sign of life), stop (a request), lock (held while a process works on the run).
    """

    path: Path

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def last(self) -> Path:
        """The file a resume continues from."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best robust validation accuracy so far."""
        return self.path / "best.safetensors"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.path / "log.txt"

    def config(self) -> RunConfig:
        """Return what the run does; raise `InputError` if config.json is missing or damaged."""
        return RunConfig.from_json(self.path / "config.json")

    def status(self, *, lost_after: float = LOST_AFTER) -> RunStatus:
        """Return where the run stands; never fails, whatever the files contain.

        Args:
            lost_after: seconds without a heartbeat after which an active run counts as lost.
        """
        age = self._heartbeat_age()
        status = replace(self._stored_status(), heartbeat_age=age)
        if status.active and (age is None or age > lost_after):
            return replace(status, state="lost", seconds_left=None)
        return status

    def write_status(self, status: RunStatus) -> None:
        """Replace status.json; the heartbeat's age is not stored."""
        values = asdict(status)
        del values["heartbeat_age"]
        write_atomically(self.path / "status.json", (json.dumps(values) + "\n").encode())

    def metrics(self) -> list[dict[str, Any]]:
        """Return one record an epoch, the oldest first.

        Keys: epoch (from 1), terms {name: mean}, clean_accuracy and robust_accuracy (validation, in
        [0, 1]), num_images (validated), learning_rate (of the last step), seconds.
        """
        try:
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            return [parse_json_object(line, "metrics.jsonl") for line in lines]
        except (OSError, UnicodeDecodeError, InputError):
            return []

    def write_metrics(self, metrics: list[dict[str, Any]]) -> None:
        """Replace metrics.jsonl."""
        text = "".join(json.dumps(record) + "\n" for record in metrics)
        write_atomically(self.path / "metrics.jsonl", text.encode())

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
        """Ask the process that works on the run to save and stop."""
        (self.path / "stop").touch()

    def withdraw_stop(self) -> None:
        """Forget an earlier request to stop."""
        (self.path / "stop").unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        """Return whether somebody asked the run to stop."""
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
    def lock(self) -> Iterator[None]:
        """Hold the run for this process; the system lets go of it when the process dies.

        Raises:
            InputError: the folder does not exist, or a process is at work in it.
        """
        try:
            file = (self.path / "lock").open("w")
        except OSError:
            raise InputError(f"{self.path} should be a run directory, but is none") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(
                    f"run {self.run_id!r} is being worked on by another process"
                ) from None
            yield

    def _heartbeat_age(self) -> float | None:
        try:
            return max(0.0, time.time() - (self.path / "heartbeat").stat().st_mtime)
        except OSError:
            return None

    def _stored_status(self) -> RunStatus:
        try:
            text = (self.path / "status.json").read_bytes()
            values = parse_json_object(text, "status.json")
            names = {field.name for field in fields(RunStatus)}
            status = RunStatus(**{key: value for key, value in values.items() if key in names})
        except (OSError, InputError, TypeError):
            return RunStatus("failed", error="status.json is missing or damaged")
        if status.state not in get_args(State):
            return RunStatus("failed", error="status.json is damaged: it names no known state")
        return status


def runs_folder() -> Path:
    """Return the folder of all runs."""
    return checkpoints_folder() / "runs"


def create_run(config: RunConfig) -> RunDirectory:
    """Make the directory of a new run, in state "starting".

    Its name says data set, method and time, such as "digits-trades-20260131-142501", with a number
    behind it where that is taken.

    Raises:
        InputError: the folder cannot be written.
    """
    stem = "-".join((Path(config.data.name).stem, config.method.name))
    stem = re.sub(r"[^a-z0-9_-]+", "_", stem.lower()).strip("_-")[:60]
    stem = f"{stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    number = 1
    try:
        runs_folder().mkdir(parents=True, exist_ok=True)
        while True:
            path = runs_folder() / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
        return initialise_run(path, config)
    except OSError as error:
        raise InputError(f"the runs folder cannot be written: {error.strerror}") from None


def initialise_run(path: Path, config: RunConfig) -> RunDirectory:
    """Write the first files of a run into the existing folder `path`."""
    run = RunDirectory(path)
    write_atomically(path / "config.json", config.to_json().encode())
    run.beat()
    run.write_status(RunStatus("starting", num_epochs=config.epochs, phase="starting"))
    return run
