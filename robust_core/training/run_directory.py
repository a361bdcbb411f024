"""The run directory: the only thing a training process and a page share."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from robust_core.config.run import RunConfig, parse_json_object
from robust_core.errors import InputError
from robust_core.files import write_atomically
from robust_core.jobs.directory import WorkDirectory, WorkStatus, make_folder
from robust_core.paths import checkpoints_folder


@dataclass(frozen=True)
class RunStatus(WorkStatus):
    """Where a run stands; what all work has in common is said at `WorkStatus`.

    `seconds_left` goes until the card is measured; `phase` is "starting", "training", "validation"
    or "test"; `note` says why a method stopped the run early.

    Attributes:
        epoch: complete epochs. num_epochs: epochs asked for.
        step: optimiser steps taken. num_steps: steps in the whole run; 0 until known.
    """

    epoch: int = 0
    num_epochs: int = 0
    step: int = 0
    num_steps: int = 0


@dataclass(frozen=True)
class RunDirectory(WorkDirectory[RunStatus]):
    """The files of one run.

    Besides those of every `WorkDirectory`: config.json, metrics.jsonl (one line an epoch), last.pt
    (everything a resume needs, after each epoch), best.safetensors (the checkpoint).
    """

    kind: ClassVar[str] = "run"
    command: ClassVar[str] = "train"
    Status: ClassVar[type[WorkStatus]] = RunStatus

    @property
    def last(self) -> Path:
        """The file a resume continues from."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best robust validation accuracy so far."""
        return self.path / "best.safetensors"

    def config(self) -> RunConfig:
        """Return what the run does; raise `InputError` if config.json is missing or damaged."""
        return RunConfig.from_json(self.path / "config.json")

    def fresh_status(self) -> RunStatus:
        """Return the status to begin or go on with, after the last complete epoch."""
        epochs = self.config().epochs
        return RunStatus("starting", self.status().epoch, epochs, phase="starting")

    def metrics(self) -> list[dict[str, Any]]:
        """Return one record an epoch, the oldest first.

        Keys: epoch (from 1), terms {name: mean}, clean_accuracy and robust_accuracy (validation, in
        [0, 1]), warning (of a model at chance, or empty), num_images (validated), learning_rate (of
        the last step), seconds.
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
    try:
        return initialise_run(make_folder(runs_folder(), stem), config)
    except OSError as error:
        raise InputError(f"the runs folder cannot be written: {error.strerror}") from None


def initialise_run(path: Path, config: RunConfig) -> RunDirectory:
    """Write the first files of a run into the existing folder `path`."""
    run = RunDirectory(path)
    write_atomically(path / "config.json", config.to_json().encode())
    run.beat()
    run.write_status(RunStatus("starting", num_epochs=config.epochs, phase="starting"))
    return run
