"""The evaluation loop: batch after batch, each kept as soon as it is done."""

import logging
import time
import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from robust_core.attacks.base import Attack
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import BatchOutcome, PassCounts, attack_batch, predict_batch
from robust_core.evaluation.curves import accuracy_curve
from robust_core.evaluation.reliability import Subject as Suspect
from robust_core.evaluation.reliability import check_reliability
from robust_core.evaluation_runs.directory import (
    EvaluationDirectory,
    EvaluationStatus,
    Payload,
    Subject,
    create_evaluation,
    outcome_from_json,
    outcome_to_json,
)
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.evaluation_runs.subjects import images_for
from robust_core.evaluation_runs.team import Team
from robust_core.evaluation_runs.units import Clock, Unit, cost, units_of
from robust_core.training.checkpoint import CheckpointInfo, checkpoint_info, load_model
from robust_core.training.work_directory import Progress, StopRequested, recorded

logger = logging.getLogger("robust_core.evaluation_runs")

STOP_INTERVAL = 0.2  # seconds between two looks for a request to stop
OnProgress = Callable[[EvaluationStatus], None]


def run_evaluation(
    plan: EvaluationPlan | None = None,
    run: EvaluationDirectory | None = None,
    *,
    team: Team | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: OnProgress | None = None,
) -> EvaluationDirectory:
    """Evaluate as `plan` says and return the directory with the results.

    Every batch is kept when it is done. An evaluation that was stopped or killed goes on with the
    batches that are missing and ends with the same numbers: the seed of batch b is that of attack
    and plan plus b, and random models draw from (plan's seed, attack, b). A checkpoint whose file
    has changed is done again.

    The processes of a team share the batches out in turn (batch b is for process b modulo size);
    the first one keeps status and log and merges what was found.

    Args:
        plan: what to do; None takes it from `run`.
        run: a directory to work in, new or to be resumed; None makes one.
        team: the processes; None is this one alone. With several, all pass the same plan and run,
            whose folder only the leader has to reach.
        should_stop: asked at every pass.
        on_progress: told the status whenever it is written, about twice a second.

    Raises:
        InputError: the evaluation cannot begin or go on, in one sentence that its status shows,
            too; another process is at work on it; it has finished.
    """
    if run is None:
        if plan is None:
            raise InputError("an evaluation needs a plan or a directory, got neither")
        run = create_evaluation(plan)
    team = team or Team()
    if not team.leads:
        _Evaluator(run, plan or run.plan(), team, lambda **_: None, should_stop).work()
        return run
    with run.lock():
        if run.status().state == "finished":
            raise InputError(f"evaluation {run.run_id!r} has finished; there is nothing left to do")
        progress = Progress(run, on_progress, run.fresh_status())

        def so_far() -> str:
            return f"with {progress.status.share:.0%} done"

        with recorded(progress, so_far=so_far, kept=lambda: "what was done before is kept"):
            stored = run.plan()
            if plan is not None and plan != stored:
                raise InputError(f"evaluation {run.run_id!r} was started with another plan")
            _Evaluator(run, stored, team, progress.update, should_stop).work()
            run.write_results()
            progress.update(
                now=True,
                state="finished",
                share=1.0,
                checkpoint="",
                attack="",
                phase="",
                seconds_left=None,
            )
            logger.info("finished")
    return run


class _Evaluator:
    """One process at work on an evaluation."""

    def __init__(
        self,
        run: EvaluationDirectory,
        plan: EvaluationPlan,
        team: Team,
        update: Callable[..., None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.run, self.plan, self.team = run, plan, team
        self._update, self._should_stop = update, should_stop
        self._looked = 0.0
        self._unsent: dict[str, Payload] = {}  # where the leader's directory is out of reach

    def work(self) -> None:
        """Do this process's units; the leader then has those of all.

        Raises:
            StopRequested: somebody asked to stop (any of the processes).
            InputError: something went wrong (in any of the processes).
        """
        if self.team.size == 1:
            self._work()
            return
        failure, stopped = None, False
        try:
            self._work()
        except StopRequested:
            stopped = True
        except Exception as error:  # the others must hear of it, or they would wait for ever
            failure = str(error) or type(error).__name__
            logger.exception("process %d failed", self.team.rank)
        endings = self.team.gather((failure, stopped, self._unsent))
        for _, _, unsent in endings:
            for name, payload in unsent.items():
                self.run.write_unit(name, payload)
        failures = [one for one, _, _ in endings if one is not None]
        if failures:
            raise InputError(failures[0])
        if any(one for _, one, _ in endings):
            raise StopRequested

    def _work(self) -> None:
        self._check_stop(now=True)
        shelf: dict[str, ImageSet] = {}
        infos = [checkpoint_info(name) for name in self.plan.checkpoints]
        images = [self._images(info, shelf) for info in infos]
        mine, left = self._share(infos, images)
        clock = Clock(left)
        self._update(now=True, state="running", share=clock.share())
        logger.info("%d of %d units are left", len(left), len(mine))
        for place, info in enumerate(infos):
            if any(unit.checkpoint == place for unit in left):
                bench = _Bench(self, info, images[place])
                self._do([unit for unit in mine if unit.checkpoint == place], bench, clock)

    def _images(self, info: CheckpointInfo, shelf: dict[str, ImageSet]) -> ImageSet:
        """Return the images of a checkpoint; equal ones are loaded once."""
        self._check_stop(now=True)
        key = repr(self.plan.data or info.config.data)
        if key not in shelf:
            images = images_for(info, self.plan.data, self.plan.split)
            shelf[key] = images.subset(slice(self.plan.num_images))
        return shelf[key]

    def _share(
        self, infos: list[CheckpointInfo], images: list[ImageSet]
    ) -> tuple[list[Unit], dict[Unit, float]]:
        """Return this process's units, and the costs of those that are left to do."""
        mine: list[Unit] = []
        left: dict[Unit, float] = {}
        attacks = [choice.create(self.plan.seed) for choice in self.plan.attacks]
        for place, (info, one) in enumerate(zip(infos, images, strict=True)):
            if self.team.leads:
                self.run.write_subject(place, _subject(info, one))
            for unit in units_of(self.plan, place, len(one)):
                turn = unit.attack if unit.kind == "reliability" else unit.batch
                if turn % self.team.size != self.team.rank:
                    continue
                mine.append(unit)
                if self.run.read_unit(unit, info.digest) is None:
                    attack = attacks[unit.attack] if unit.attack >= 0 else None
                    left[unit] = cost(self.plan, unit, attack, len(one))
        return mine, left

    def _do(self, units: list[Unit], bench: "_Bench", clock: Clock) -> None:
        before: dict[str, str] = {}
        for unit in units:
            payload = self.run.read_unit(unit, bench.info.digest)
            if payload is not None:
                if unit.kind == "clean":
                    bench.clean[unit.batch] = outcome_from_json(payload)
                continue
            self._check_stop(now=True)
            label = self.plan.labels[unit.attack] if unit.attack >= 0 else ""
            doing = {"phase": unit.kind, "checkpoint": bench.info.name, "attack": label}
            self._update(now=doing != before, **doing)
            before = doing
            started = time.perf_counter()
            payload = bench.measure(unit)
            seconds = time.perf_counter() - started
            self._keep(unit, payload | {"digest": bench.info.digest, "seconds": seconds})
            clock.note(unit, seconds)
            self._update(share=clock.share(), seconds_left=clock.seconds_left())

    def _keep(self, unit: Unit, payload: Payload) -> None:
        if self.run.path.is_dir():
            self.run.write_unit(unit.name, payload)
        else:
            self._unsent[unit.name] = payload

    def _check_stop(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._looked < STOP_INTERVAL:
            return
        self._looked = time.monotonic()
        if self._should_stop() or self.run.stop_requested():
            raise StopRequested

    def on_pass(self) -> None:
        """Look for a request to stop, within a long attack, too."""
        self._check_stop()


class _Bench:
    """One checkpoint, its images, and what is done with them."""

    def __init__(self, evaluator: _Evaluator, info: CheckpointInfo, images: ImageSet) -> None:
        self.plan, self.info, self._on_pass = evaluator.plan, info, evaluator.on_pass
        self.device = evaluator.team.device
        self.model = self._load(info.name)
        if checkpoint_info(info.name).digest != info.digest:
            raise InputError(
                f"{info.name} has changed since the evaluation began; resume it with the new one"
            )
        self.x, self.y = images.x.to(self.device), images.y.to(self.device)
        self.clean: dict[int, BatchOutcome] = {}
        self._surrogates: dict[str, nn.Module] = {}

    def measure(self, unit: Unit) -> Payload:
        """Return what the unit's file shall hold."""
        counts = PassCounts(self._on_pass)
        with torch.random.fork_rng():
            torch.manual_seed(self._seed(unit))
            match unit.kind:
                case "clean":
                    found = self._measure_clean(unit, counts)
                case "attack":
                    found = self._measure_attack(unit, counts)
                case "curve":
                    return self._measure_curve(unit)
                case "reliability":
                    return self._check_reliability(unit)
        passes = {"forward_passes": counts.forward, "backward_passes": counts.backward}
        return outcome_to_json(found) | passes

    def _measure_clean(self, unit: Unit, counts: PassCounts) -> BatchOutcome:
        batch = self._batch(unit)
        outcome = predict_batch(
            self.model,
            self.x[batch],
            self.y[batch],
            eot_samples=self.plan.eot_samples,
            counts=counts,
        )
        self.clean[unit.batch] = outcome
        return outcome

    def _measure_attack(self, unit: Unit, counts: PassCounts) -> BatchOutcome:
        batch = self._batch(unit)
        return attack_batch(
            self.model,
            self.x[batch],
            self.y[batch],
            self._attack(unit),
            self.clean[unit.batch],
            number=unit.batch,
            eot_samples=self.plan.eot_samples,
            counts=counts,
            surrogate=self._surrogate(unit),
        )

    def _measure_curve(self, unit: Unit) -> Payload:
        batch = self._batch(unit)
        attack = self._attack(unit)
        curve = accuracy_curve(
            self.model,
            self.x[batch],
            self.y[batch],
            attack.model_copy(update={"seed": (attack.seed + unit.batch) % 2**31}),
            "epsilon",
            self.plan.epsilons,
            batch_size=self.plan.batch_size,
            eot_samples=self.plan.eot_samples,
            surrogate=self._surrogate(unit),
            on_progress=lambda done, total: self._on_pass(),
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
        suspect = Suspect(
            self.model,
            self.x[first],
            self.y[first],
            self._attack(unit),
            eot_samples=self.plan.eot_samples,
            surrogate=self._surrogate(unit),
        )
        findings = check_reliability(suspect, on_finding=lambda finding: self._on_pass())
        return {"findings": [finding.to_json() for finding in findings]}

    def _batch(self, unit: Unit) -> slice:
        size = self.plan.batch_size
        return slice(unit.batch * size, (unit.batch + 1) * size)

    def _attack(self, unit: Unit) -> Attack:
        return self.plan.attacks[unit.attack].create(self.plan.seed)

    def _surrogate(self, unit: Unit) -> nn.Module | None:
        name = self.plan.attacks[unit.attack].surrogate
        if name is None:
            return None
        if name not in self._surrogates:
            other = checkpoint_info(name)
            expected, got = ((one.image_shape, one.num_classes) for one in (self.info, other))
            if expected != got:
                raise InputError(
                    f"a surrogate of {self.info.name} should take images and classes "
                    f"{expected}, but {name} takes {got}"
                )
            self._surrogates[name] = self._load(name)
        return self._surrogates[name]

    def _load(self, name: str) -> nn.Module:
        return load_model(name).to(self.device)

    def _seed(self, unit: Unit) -> int:
        parts: tuple[Any, ...] = (self.plan.seed, unit.kind, unit.attack, unit.batch)
        return zlib.crc32(repr(parts).encode())


def _subject(info: CheckpointInfo, images: ImageSet) -> Subject:
    return Subject(
        info.digest,
        images.name,
        images.split,
        images.index.tolist(),
        images.y.tolist(),
        list(images.class_names),
    )
