"""The evaluation directory: what an evaluating process and a page share."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.config.choice import chosen_name
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import RobustnessReport, make_report
from robust_core.evaluation.batch import BatchOutcome, PassCounts
from robust_core.evaluation.curves import Curve
from robust_core.evaluation.finding import Finding
from robust_core.evaluation_runs.kept import Class, is_whole
from robust_core.evaluation_runs.pieces import Kind, Unit, num_batches
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.evaluation_runs.results import AttackResult, CheckpointResult, EvaluationResults
from robust_core.evaluation_runs.subjects import attacked_checkpoint
from robust_core.files import parse_json_object, write_atomically
from robust_core.jobs.directory import Count, WorkDirectory, WorkStatus, WorkSummary
from robust_core.jobs.kinds import KINDS

Payload = dict[str, Any]  # what the file of a unit holds


@dataclass(frozen=True)
class EvaluationStatus(WorkStatus):
    """Where an evaluation stands; what all work has in common is said at `WorkStatus`.

    `phase` is "starting", "clean", "attack", "curve" or "reliability".

    Attributes:
        share: of the work done, in [0, 1].
        checkpoint: the one at work on.
        attack: label of the attack at work; "" without.
        check: title of the check at work; "" without.
        passes: images sent through models since the process began.
    """

    share: Annotated[float, Field(ge=-1, le=2)] = 0.0  # an estimate
    checkpoint: str = ""
    attack: str = ""
    check: str = ""
    passes: Count = 0


@dataclass(frozen=True)
class EvaluatedImages:
    """The images of one checkpoint, as the directory keeps them; see `CheckpointResult`.

    version: of the checkpoint and of all that attacks on it are made on; a unit counts for one.
    """

    digest: str
    version: str
    data: str
    split: str
    index: list[Class]
    y: list[Class]
    class_names: list[str]


IMAGES = TypeAdapter(EvaluatedImages)  # reads it from a file


@dataclass(frozen=True)
class EvaluationSummary(WorkSummary):
    """One evaluation in a list.

    Attributes:
        checkpoints: the models. attacks: registered names.
    """

    status: EvaluationStatus
    checkpoints: tuple[str, ...]
    attacks: tuple[str, ...]


@KINDS.register("evaluation")
@dataclass(frozen=True)
class EvaluationDirectory(WorkDirectory[EvaluationStatus, EvaluationSummary]):
    """The files of one evaluation.

    Besides those of every `WorkDirectory`: plan.json, subjects/<checkpoint>.json (which images),
    units/<unit>.json (one for every checkpoint, attack and batch that is done), and at the end
    results.json and results.csv.
    """

    kind: ClassVar[str] = "evaluation"
    command: ClassVar[str] = "evaluate"
    kind_folder: ClassVar[str] = "evaluations"
    plan_file: ClassVar[str] = "plan.json"
    Status: ClassVar[type[WorkStatus]] = EvaluationStatus
    Plan: ClassVar[type] = EvaluationPlan

    @classmethod
    def stem(cls, plan: EvaluationPlan) -> str:
        """Return the first checkpoint, and how many more there are.

        Raises:
            InputError: a checkpoint or its inference does not exist, or an attack cannot be made on
                what it names.
        """
        infos = [checkpoint_info(name) for name in plan.checkpoints]
        for info in infos:
            for choice in plan.attacks:
                attacked_checkpoint(info, choice)
        more = "" if len(plan.checkpoints) == 1 else f"-and-{len(plan.checkpoints) - 1}-more"
        plain = "/" not in plan.checkpoints[0]
        return f"{Path(infos[0].path.stem if plain else infos[0].config.data.name).stem}{more}"

    def plan(self) -> EvaluationPlan:
        """Return the plan; raise `InputError` if plan.json is missing or damaged."""
        return EvaluationPlan.from_json(self.path / "plan.json")

    def fresh_status(self) -> EvaluationStatus:
        """Return the status to begin or go on with."""
        return EvaluationStatus("starting", self.status().share, phase="starting")

    def summary(self) -> EvaluationSummary:
        """Return what a list says of the evaluation."""
        created, values, status = self.described()
        checkpoints, attacks = values.get("checkpoints"), values.get("attacks")
        return EvaluationSummary(
            run_id=self.run_id,
            title=str(values.get("title", "")),
            checkpoints=tuple(map(str, checkpoints)) if isinstance(checkpoints, list) else (),
            attacks=tuple(map(chosen_name, attacks)) if isinstance(attacks, list) else (),
            created=created,
            status=status,
        )

    def write_images(self, checkpoint: int, images: EvaluatedImages) -> None:
        """Note the images of a checkpoint, given by its place in the plan."""
        self._write(f"subjects/{checkpoint}.json", asdict(images))

    def write_unit(self, name: str, payload: Payload) -> None:
        """Keep what was found."""
        self._write(f"units/{name}.json", payload)

    def read_unit(self, unit: Unit, version: str) -> Payload | None:
        """Return what was found; None if it was not, is damaged, or is for another version."""
        payload = self._read(f"units/{unit.name}.json")
        if payload is None or payload.get("version") != version:
            return None
        return payload if is_whole(unit.kind, json.dumps(payload).encode()) else None

    def results(self) -> EvaluationResults:
        """Return what is complete so far: checkpoints, and attacks on all of their images.

        Raises:
            InputError: plan.json is missing or damaged.
        """
        plan = self.plan()
        found = [self._checkpoint_result(plan, place) for place in range(len(plan.checkpoints))]
        return EvaluationResults(plan, tuple(one for one in found if one is not None))

    def write_results(self) -> None:
        """Write results.json and results.csv."""
        results = self.results()
        self._write("results.json", results.to_json())
        write_atomically(self.path / "results.csv", results.to_csv().encode())

    def _checkpoint_result(self, plan: EvaluationPlan, place: int) -> CheckpointResult | None:
        images = self._read_images(place)
        if images is None:
            return None
        batches = range(num_batches(plan, len(images.y)))

        def read(kind: Kind, attack: int = -1, curve: int = -1) -> list[Payload] | None:
            units = (Unit(place, kind, attack, batch, curve) for batch in batches)
            found = [self.read_unit(unit, images.version) for unit in units]
            complete = [payload for payload in found if payload is not None]
            whole = len(complete) == len(found) and _covers(complete, kind, images)
            return complete if whole else None

        clean = read("clean")
        if clean is None:
            return None
        attacks = []
        for number, (choice, label) in enumerate(zip(plan.attacks, plan.labels, strict=True)):
            payloads = read("attack", number)
            if payloads is None:
                continue
            checks = self._read_checks(Unit(place, "reliability", number, 0), images)
            attack = choice.attack(plan.seed)
            report = _report(attack, payloads, checks)
            curves = [
                _curve(attack, plan.curves[which].parameter, report.clean_correct, parts)
                for which in plan.curves_of(number)
                if (parts := read("curve", number, which)) is not None
            ]
            attacks.append(AttackResult(label, choice, report, tuple(curves)))
        return CheckpointResult(
            plan.checkpoints[place],
            images.digest,
            images.data,
            images.split,
            torch.tensor(images.index),
            torch.tensor(images.y),
            tuple(images.class_names),
            _report(None, clean),
            tuple(attacks),
        )

    def _read_images(self, place: int) -> EvaluatedImages | None:
        """Return the images of a checkpoint; None where they are not known or damaged.

        Those that an older version wrote count as damaged: they are measured again.
        """
        values = self._read(f"subjects/{place}.json")
        try:
            images = IMAGES.validate_json(json.dumps(values), strict=True)
        except ValidationError:
            return None
        return images if _fits(images) else None

    def _read_checks(self, unit: Unit, images: EvaluatedImages) -> Payload | None:
        """Return the checks of an accuracy; None where they are missing or on other images."""
        checks = self.read_unit(unit, images.version)
        told = None if checks is None else checks.get("checked_correct")
        return None if told is not None and len(told) > len(images.y) else checks

    def _write(self, name: str, values: dict[str, Any]) -> None:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, (json.dumps(values, allow_nan=False) + "\n").encode())

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return parse_json_object((self.path / name).read_bytes(), name)
        except (OSError, InputError):
            return None


def outcome_to_json(outcome: BatchOutcome) -> Payload:
    """Return the outcome of a batch as plain JSON values."""
    return {name: value.tolist() for name, value in vars(outcome).items()}


def outcome_from_json(payload: Payload) -> BatchOutcome:
    """Return the outcome that `outcome_to_json` was given."""
    return BatchOutcome(
        prediction=torch.tensor(payload["prediction"]),
        clean_correct=torch.tensor(payload["clean_correct"]),
        robust_correct=torch.tensor(payload["robust_correct"]),
        distance=torch.tensor(payload["distance"]),
        attacked_prediction=torch.tensor(payload["attacked_prediction"]),
        not_finite=torch.tensor(payload.get("not_finite", [False] * len(payload["distance"]))),
    )


def _fits(images: EvaluatedImages) -> bool:
    """Return whether the parts of it fit together."""
    return len(images.y) == len(images.index) > 0 and max(images.y) < len(images.class_names)


def _covers(payloads: list[Payload], kind: Kind, images: EvaluatedImages) -> bool:
    """Return whether the units of all batches together are about the evaluated images."""
    if kind == "curve":
        sizes = [len(payload["robust_correct"][0]) for payload in payloads]
        values = payloads[0]["values"]
        same = all(payload["values"] == values for payload in payloads)
        return sum(sizes) == len(images.y) and same
    predictions = [
        label for one in payloads for label in one["prediction"] + one["attacked_prediction"]
    ]
    num_classes = len(images.class_names)
    return len(predictions) == 2 * len(images.y) and max(predictions) < num_classes


def _report(
    attack: Any, payloads: list[Payload], checks: Payload | None = None
) -> RobustnessReport:
    counts = PassCounts()
    counts.forward = sum(payload["forward_passes"] for payload in payloads)
    counts.backward = sum(payload["backward_passes"] for payload in payloads)
    seconds = sum(payload["seconds"] for payload in payloads)
    outcomes = [outcome_from_json(payload) for payload in payloads]
    told_of = payloads if checks is None else [*payloads, checks]
    notes = tuple(dict.fromkeys(one for payload in told_of for one in payload.get("notes", ())))
    if checks is None:
        return make_report(attack, outcomes, seconds, counts, notes=notes)
    findings = tuple(Finding.from_json(values) for values in checks["findings"])
    told = checks.get("checked_correct")  # older evaluations do not say it
    checked = None if told is None else torch.tensor(told)
    return make_report(
        attack, outcomes, seconds, counts, findings=findings, checked_correct=checked, notes=notes
    )


def _curve(attack: Any, parameter: str, clean_correct: Tensor, payloads: list[Payload]) -> Curve:
    parts = [torch.tensor(payload["robust_correct"]) for payload in payloads]
    return Curve(
        attack,
        parameter,
        tuple(payloads[0]["values"]),
        clean_correct,
        torch.cat(parts, dim=1) & clean_correct,
        sum(payload["attacked_images"] for payload in payloads),
        sum(payload["forward_passes"] for payload in payloads),
        sum(payload["backward_passes"] for payload in payloads),
        sum(payload["seconds"] for payload in payloads),
    )
