"""The run directory: the only thing a training process and a page share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from robust_core.config.choice import chosen_name
from robust_core.config.run import RunConfig
from robust_core.jobs.directory import Count, WorkDirectory, WorkStatus, WorkSummary
from robust_core.jobs.kinds import KINDS
from robust_core.training.metrics import EpochMetrics, read_metrics, write_metrics


@dataclass(frozen=True)
class RunStatus(WorkStatus):
    """Where a run stands; what all work has in common is said at `WorkStatus`.

    `seconds_left` goes until the card is measured; `phase` is "starting", "training", "validation"
    or "test"; `note` says why a method stopped the run early.

    Attributes:
        epoch: complete epochs. num_epochs: epochs asked for.
        step: optimiser steps taken. num_steps: steps in the whole run; 0 until known.
    """

    epoch: Count = 0
    num_epochs: Count = 0
    step: Count = 0
    num_steps: Count = 0


@dataclass(frozen=True)
class RunSummary(WorkSummary):
    """One run in a list.

    Attributes:
        data, model, method: registered names.
        has_model: whether it has a checkpoint, "runs/<run_id>".
    """

    status: RunStatus
    data: str
    model: str
    method: str
    has_model: bool


@KINDS.register("run")
@dataclass(frozen=True)
class RunDirectory(WorkDirectory[RunStatus, RunSummary]):
    """The files of one run.

    Besides those of every `WorkDirectory`: config.json, metrics.jsonl (one line an epoch), last.pt
    (everything a resume needs, after each epoch until the run has finished), best.safetensors (the
    checkpoint).
    """

    kind: ClassVar[str] = "run"
    command: ClassVar[str] = "train"
    kind_folder: ClassVar[str] = "runs"
    plan_file: ClassVar[str] = "config.json"
    Status: ClassVar[type[WorkStatus]] = RunStatus
    Plan: ClassVar[type] = RunConfig

    @classmethod
    def stem(cls, plan: RunConfig) -> str:
        """Return data set and method."""
        return "-".join((Path(plan.data.name).stem, plan.method.name))

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

    def sweep(self) -> None:
        """Remove temporary files, and what a resume starts from where nothing is left to do."""
        super().sweep()
        if self.status().state == "finished":
            self.last.unlink(missing_ok=True)

    def summary(self) -> RunSummary:
        """Return what a list says of the run."""
        created, values, status = self.described()
        return RunSummary(
            run_id=self.run_id,
            title=str(values.get("title", "")),
            data=chosen_name(values.get("data")),
            model=chosen_name(values.get("model")),
            method=chosen_name(values.get("method")),
            created=created,
            status=status,
            has_model=self.best.is_file(),
        )

    def metrics(self) -> list[EpochMetrics]:
        """Return one record an epoch, the oldest first, up to where metrics.jsonl is damaged."""
        return read_metrics(self._metrics)[0]

    def metrics_damage(self) -> str:
        """Return a sentence about damage in metrics.jsonl; "" without."""
        return read_metrics(self._metrics)[1]

    def write_metrics(self, metrics: Sequence[EpochMetrics]) -> None:
        """Replace metrics.jsonl."""
        write_metrics(self._metrics, metrics)

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"
