"""One checkpoint of an evaluation: its images, and what is measured on them."""

import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from robust_core.acceleration.mode import use_acceleration
from robust_core.attacks.base import Attack
from robust_core.attacks.notes import noted
from robust_core.checkpoints.catalog import CheckpointInfo, checkpoint_info, load_model
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.batch import BatchOutcome, Evaluation, PassCounts, counted
from robust_core.evaluation.curves import accuracy_curve
from robust_core.evaluation.pace import Pace, measured_pace
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from robust_core.evaluation_runs.directory import Payload, outcome_to_json
from robust_core.evaluation_runs.pieces import Unit
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.evaluation_runs.subjects import attacked_checkpoint, transfer_source, version_of


class Measurement:
    """One checkpoint, its images, and what is done with them."""

    def __init__(
        self,
        plan: EvaluationPlan,
        info: CheckpointInfo,
        images: ImageSet,
        *,
        device: torch.device,
        on_check: Callable[[str], None],
    ) -> None:
        """Load the model.

        Args:
            plan: what is done.
            info: the checkpoint.
            images: on which it is evaluated.
            device: where to compute.
            on_check: called with the title of each check before it is made.

        Raises:
            InputError: the checkpoint cannot be loaded, or is no longer the one of `info`; its
                images do not fit it.
        """
        self.plan, self.info, self._on_check = plan, info, on_check
        self.version = version_of(info, plan)
        self.device = device
        self.model = self._load(info.name)
        if checkpoint_info(info.name).digest != info.digest:
            raise InputError(
                f"{info.name} has changed since the evaluation began; resume it with the new one"
            )
        self.x, self.y = images.x.to(self.device), images.y.to(self.device)
        self._counts = PassCounts()
        self._evaluation = Evaluation(
            self.model,
            self.x,
            self.y,
            batch_size=plan.batch_size,
            eot_samples=plan.eot_samples,
            num_repeats=plan.num_repeats,
            counts=self._counts,
        )
        self.clean: dict[int, BatchOutcome] = {}
        self._others: dict[str, nn.Module] = {}

    def pace(self) -> Pace:
        """Return how fast the model is here, as the attacks will use it."""
        with use_acceleration(self.plan.acceleration):
            return measured_pace(counted(self.model), self.x[: self.plan.batch_size])

    def measure(self, unit: Unit) -> Payload:
        """Return what the unit's file shall hold."""
        counts = self._counts
        counts.forward = counts.backward = 0
        with torch.random.fork_rng(), noted() as notes:
            torch.manual_seed(self._seed(unit))
            match unit.kind:
                case "clean":
                    found = self._evaluation.predict(self._batch(unit), unit.batch)
                    self.clean[unit.batch] = found
                case "attack":
                    found = self._evaluation.attack(
                        self._batch(unit),
                        self._attack(unit),
                        self.clean[unit.batch],
                        unit.batch,
                        surrogate=self._surrogate(unit),
                    )
                case "curve":
                    return self._measure_curve(unit)
                case "reliability":
                    return self._check_reliability(unit) | {"notes": notes}
        passes = {"forward_passes": counts.forward, "backward_passes": counts.backward}
        return outcome_to_json(found) | passes | {"notes": notes}

    def _measure_curve(self, unit: Unit) -> Payload:
        batch = self._batch(unit)
        attack = self._attack(unit)
        asked = self.plan.curves[unit.curve]
        curve = accuracy_curve(
            self.model,
            self.x[batch],
            self.y[batch],
            attack.model_copy(update={"seed": (attack.seed + unit.batch) % 2**31}),
            asked.parameter,
            asked.values,
            batch_size=self.plan.batch_size,
            eot_samples=self.plan.eot_samples,
            num_repeats=self.plan.num_repeats,
            surrogate=self._surrogate(unit),
        )
        return {
            "values": list(curve.values),
            "robust_correct": curve.robust_correct.tolist(),
            "attacked_images": curve.attacked_images,
            "forward_passes": curve.forward_passes,
            "backward_passes": curve.backward_passes,
        }

    def _check_reliability(self, unit: Unit) -> Payload:
        first = slice(self.plan.reliability_images)
        case = ReliabilityCase(
            self.model,
            self.x[first],
            self.y[first],
            self._attack(unit),
            eot_samples=self.plan.eot_samples,
            transfer_model=self._other_model(),
            effort=self.plan.check_effort,
            surrogate=self._surrogate(unit),
            inference=self.info.inference,
        )
        findings = check_reliability(
            case,
            on_check=self._on_check,
            stop_at_alarm=self.plan.stop_at_alarm,
            seconds=self.plan.check_seconds,
        )
        return {
            "findings": [finding.to_json() for finding in findings],
            "checked_correct": case.worst_case.tolist(),
        }

    def _batch(self, unit: Unit) -> slice:
        size = self.plan.batch_size
        return slice(unit.batch * size, (unit.batch + 1) * size)

    def _attack(self, unit: Unit) -> Attack:
        return self.plan.attacks[unit.attack].attack(self.plan.seed)

    def _surrogate(self, unit: Unit) -> nn.Module | None:
        """Return what the attack of a unit is computed on; None: on the evaluated model itself."""
        other = attacked_checkpoint(self.info, self.plan.attacks[unit.attack])
        return None if other is None else self._shared(other.name)

    def _other_model(self) -> nn.Module | None:
        """Return the model from which images may transfer, if there is one."""
        other = transfer_source(self.info, self.plan)
        return None if other is None else self._shared(other.name)

    def _shared(self, name: str) -> nn.Module:
        if name not in self._others:
            self._others[name] = self._load(name)
        return self._others[name]

    def _load(self, name: str) -> nn.Module:
        return load_model(name).to(self.device)

    def _seed(self, unit: Unit) -> int:
        parts: tuple[Any, ...] = (self.plan.seed, unit.kind, unit.attack, unit.batch, unit.curve)
        return zlib.crc32(repr(parts).encode())
