"""What an evaluation has found: reports for every checkpoint and attack, worst case, exports."""

import csv
import io
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robust_core.config.attack_run import AttackRun
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.curves import Curve
from robust_core.evaluation.lowest import (
    LowestKnown,
    Measured,
    headline,
    lowest_known,
    wilson_interval,
)
from robust_core.evaluation_runs.plan import EvaluationPlan

SOURCE = {"surrogate", "role"}  # how an attack came about, besides its parameters


@dataclass(frozen=True)
class AttackResult:
    """One attack on one checkpoint.

    Attributes:
        label: the attack's short name in the plan. choice: its entry there.
        report: per-image outcome, with the findings of the checks where they were asked for.
        curves: those of the plan that are complete, in its order.
    """

    label: str
    choice: AttackRun
    report: RobustnessReport
    curves: tuple[Curve, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        about = {"label": self.label, **self.choice.model_dump(include=SOURCE)}
        curves = [curve.to_json() for curve in self.curves]
        return about | self.report.to_json() | {"curves": curves}


@dataclass(frozen=True)
class CheckpointResult:
    """Everything about one checkpoint that is complete so far.

    Attributes:
        name: the checkpoint. digest: SHA-256 of its file.
        data: the data set. split: its split. index: int64 [N], see `ImageSet.index`.
        y: labels, int64 [N]. class_names: K names.
        clean: the report without an attack.
        attacks: those of the plan that are done on all images, in its order.
    """

    name: str
    digest: str
    data: str
    split: str
    index: Tensor
    y: Tensor
    class_names: tuple[str, ...]
    clean: RobustnessReport
    attacks: tuple[AttackResult, ...]

    def image_id(self, i: int) -> str:
        """Return the stable name of image `i`, e.g. "digits/test/17"."""
        return f"{self.data}/{self.split}/{int(self.index[i])}"

    @property
    def lowest(self) -> LowestKnown:
        """The lowest known accuracy over all attacks, their checks, and their images."""
        found = [
            Measured(
                one.label,
                one.report.robust_correct,
                one.report.findings,
                one.report.checked_correct,
            )
            for one in self.attacks
        ]
        return lowest_known(found or [Measured("no attack", self.clean.clean_correct)])

    @property
    def reported(self) -> AttackResult | None:
        """The attack as the method's paper would report it: its claim, or the first one."""
        claims = [one for one in self.attacks if one.choice.role == "claim"]
        return next(iter([*claims, *self.attacks]), None)

    def headline(self, *, running: bool = False) -> str:
        """Return what is reported and what it is worth, in one sentence; "" without an attack.

        Args:
            running: whether more attacks or checks are still to come.
        """
        reported = self.reported
        if reported is None:
            return ""
        report = reported.report
        return headline(report.robust_accuracy, self.lowest, report.findings, running=running)

    @property
    def worst_case(self) -> Tensor:
        """Bool [N], whether an image survives every attack."""
        correct = [self.clean.clean_correct, *(one.report.robust_correct for one in self.attacks)]
        return torch.stack(correct).all(dim=0)

    def fooled_by(self, label: str) -> Tensor:
        """Return the positions of the correct images that the attack `label` fools: int64 [M]."""
        report = next(one.report for one in self.attacks if one.label == label)
        return torch.where(report.clean_correct & ~report.robust_correct)[0]

    def num_fooled_alone(self, label: str) -> int:
        """Return how many correct images only the attack `label` fools, and no other."""
        others = [one.report.robust_correct for one in self.attacks if one.label != label]
        survive = torch.stack([self.clean.clean_correct, *others]).all(dim=0)
        return int(survive[self.fooled_by(label)].sum())

    @property
    def worst_case_accuracy(self) -> float:
        """Share of images that survive every attack, in [0, clean accuracy]."""
        return int(self.worst_case.sum()) / len(self.y)

    @property
    def worst_case_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the worst-case accuracy."""
        return wilson_interval(int(self.worst_case.sum()), len(self.y))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "checkpoint": self.name,
            "digest": self.digest,
            "data": self.data,
            "split": self.split,
            "class_names": list(self.class_names),
            "images": [self.image_id(i) for i in range(len(self.y))],
            "labels": self.y.tolist(),
            "num_images": len(self.y),
            "predictions": self.clean.prediction.tolist(),
            "clean_accuracy": self.clean.clean_accuracy,
            "clean_interval": list(self.clean.clean_interval),
            "attacks": [one.to_json() for one in self.attacks],
            "worst_case": {
                "accuracy": self.worst_case_accuracy,
                "interval": list(self.worst_case_interval),
                "robust_correct": self.worst_case.tolist(),
            },
            "lowest": {
                "accuracy": self.lowest.accuracy,
                "interval": list(self.lowest.interval),
                "num_images": self.lowest.num_images,
                "by": self.lowest.by,
                "checks": self.lowest.checks,
                "confirmed": self.lowest.confirmed,
                "sentence": self.headline(),
            },
        }


@dataclass(frozen=True)
class EvaluationResults:
    """What is complete of an evaluation.

    Attributes:
        plan: what was asked for.
        checkpoints: those whose clean accuracy is known, in the plan's order.
    """

    plan: EvaluationPlan
    checkpoints: tuple[CheckpointResult, ...]

    @property
    def complete(self) -> bool:
        """Whether every attack on every checkpoint is there, and every curve."""
        return len(self.checkpoints) == len(self.plan.checkpoints) and all(
            len(one.attacks) == len(self.plan.attacks)
            and all(
                len(found.curves) == len(self.plan.curves_of(number))
                for number, found in enumerate(one.attacks)
            )
            for one in self.checkpoints
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "plan": self.plan.model_dump(mode="json"),
            "results": [one.to_json() for one in self.checkpoints],
        }

    def to_csv(self) -> str:
        """Return a table with one row an image.

        Columns: checkpoint, image, label, prediction, correct (without an attack), then for every
        attack of the plan "<label> correct", "<label> prediction", "<label> distance", and
        "worst_case correct". Classes are numbers, truth values 0 or 1; what is not done is empty.
        """
        header = ["checkpoint", "image", "label", "prediction", "correct"]
        for label in self.plan.labels:
            header += [f"{label} correct", f"{label} prediction", f"{label} distance"]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*header, "worst_case correct"])
        for one in self.checkpoints:
            writer.writerows(_rows(one, self.plan.labels))
        return text.getvalue()


def _rows(result: CheckpointResult, labels: tuple[str, ...]) -> list[list[Any]]:
    number = len(result.y)
    columns: list[list[Any]] = [
        [result.name] * number,
        [result.image_id(i) for i in range(number)],
        result.y.tolist(),
        result.clean.prediction.tolist(),
        result.clean.clean_correct.int().tolist(),
    ]
    reports = {one.label: one.report for one in result.attacks}
    for label in labels:
        if label not in reports:
            columns += [[""] * number] * 3
            continue
        report = reports[label]
        columns += [
            report.robust_correct.int().tolist(),
            report.attacked_prediction.tolist(),
            [f"{distance:.6g}" for distance in report.distance.tolist()],
        ]
    columns.append(result.worst_case.int().tolist())
    return [list(row) for row in zip(*columns, strict=True)]
