"""The evaluation loop: batch after batch, each kept as soon as it is done."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from robust_core.acceleration.mode import use_acceleration
from robust_core.checkpoints.catalog import CheckpointInfo, checkpoint_info
from robust_core.data import ImageSet
from robust_core.distributed import ProcessGroup
from robust_core.errors import InputError
from robust_core.evaluation.batch import OnPass, passes_told
from robust_core.evaluation.check import Cost
from robust_core.evaluation_runs.directory import (
    EvaluatedImages,
    EvaluationDirectory,
    EvaluationStatus,
    Payload,
    outcome_from_json,
)
from robust_core.evaluation_runs.measurement import Measurement
from robust_core.evaluation_runs.pieces import Unit, units_of
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.evaluation_runs.subjects import images_for, version_of
from robust_core.evaluation_runs.units import Clock, time_limit, work
from robust_core.jobs.recorder import STATUS_INTERVAL, Progress, StopRequested, recorded
from robust_core.units import percent

logger = logging.getLogger("robust_core.evaluation_runs")

STOP_INTERVAL = 0.2  # seconds between two looks for a request to stop
OnProgress = Callable[[EvaluationStatus], None]


def run_evaluation(
    plan: EvaluationPlan | None = None,
    run: EvaluationDirectory | None = None,
    *,
    group: ProcessGroup | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: OnProgress | None = None,
) -> EvaluationDirectory:
    """Evaluate as `plan` says and return the directory with the results.

    Every batch is kept when it is done. An evaluation that was stopped or killed goes on with the
    batches that are missing and ends with the same numbers: the seed of batch b is that of attack
    and plan plus b, and stochastic models draw from (plan's seed, attack, b). A checkpoint whose
    file has changed is done again.

    The processes of a group share the batches out in turn (batch b is for process b modulo size);
    the first one keeps status and log and merges what was found.

    Args:
        plan: what to do; None takes it from `run`.
        run: a directory to work in, new or to be resumed; None makes one.
        group: the processes; None is this one alone. With several, all pass the same plan and run,
            whose folder only the main process has to reach.
        should_stop: asked at every pass.
        on_progress: told the status whenever it is written, about twice a second.

    Raises:
        InputError: the evaluation cannot begin or go on, in one sentence that its status shows,
            too; another process is at work on it; it has finished.
    """
    if run is None:
        if plan is None:
            raise InputError("an evaluation needs a plan or a directory, got neither")
        run = EvaluationDirectory.create(plan)
    group = group or ProcessGroup()
    if not group.is_main:
        _Evaluator(run, plan or run.plan(), group, lambda **_: None, should_stop).work()
        return run
    with run.lock():
        if run.status().state == "finished":
            raise InputError(f"evaluation {run.run_id!r} has finished; there is nothing left to do")
        progress = Progress(run, on_progress, run.fresh_status())

        def so_far() -> str:
            return f"with {percent(progress.status.share)} done"

        with recorded(progress, so_far=so_far, kept=lambda: "what was done before is kept"):
            stored = run.plan()
            if plan is not None and plan != stored:
                raise InputError(f"evaluation {run.run_id!r} was started with another plan")
            _Evaluator(run, stored, group, progress.update, should_stop).work()
            run.write_results()
            progress.update(
                now=True,
                state="finished",
                share=1.0,
                checkpoint="",
                attack="",
                check="",
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
        group: ProcessGroup,
        update: Callable[..., None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.run, self.plan, self.group = run, plan, group
        self._update, self._should_stop = update, should_stop
        self._looked = self._told = 0.0
        self._passes = 0
        self._warned: set[str] = set()
        self._unsent: dict[str, Payload] = {}  # where the main process's directory is out of reach

    def work(self) -> None:
        """Do this process's units; the main process then has those of all.

        Raises:
            StopRequested: somebody asked to stop (any of the processes).
            InputError: something went wrong (in any of the processes).
        """
        if self.group.size == 1:
            self._work()
            return
        failure, stopped = None, False
        try:
            self._work()
        except StopRequested:
            stopped = True
        except Exception as error:  # the others must hear of it, or they would wait for ever
            failure = str(error) or type(error).__name__
            logger.exception("process %d failed", self.group.rank)
        endings = self.group.gather((failure, stopped, self._unsent))
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
        known: dict[str, ImageSet] = {}
        infos = [checkpoint_info(name) for name in self.plan.checkpoints]
        images = [self._images(info, known) for info in infos]
        mine, left = self._share(infos, images)
        limits = {unit: time_limit(self.plan, unit) for unit in left}
        clock = Clock(left, {unit: one for unit, one in limits.items() if one is not None})
        self._update(now=True, state="running")
        logger.info("%d of %d units are left", len(left), len(mine))
        for place, info in enumerate(infos):
            if any(unit.checkpoint == place for unit in left):
                measurement = Measurement(
                    self.plan,
                    info,
                    images[place],
                    device=self.group.device,
                    on_check=lambda title: self._update(now=True, check=title),
                )
                clock.set_pace(place, measurement.pace())
                self._do([unit for unit in mine if unit.checkpoint == place], measurement, clock)

    def _images(self, info: CheckpointInfo, known: dict[str, ImageSet]) -> ImageSet:
        """Return the images of a checkpoint; equal ones are loaded once."""
        self._check_stop(now=True)
        key = repr(self.plan.data or info.config.data)
        if key not in known:
            images = images_for(info, self.plan.data, self.plan.split)
            known[key] = images.in_sample_order().subset(slice(self.plan.num_images))
        return known[key]

    def _share(
        self, infos: list[CheckpointInfo], images: list[ImageSet]
    ) -> tuple[list[Unit], dict[Unit, Cost]]:
        """Return this process's units, and the costs of those that are left to do."""
        mine: list[Unit] = []
        left: dict[Unit, Cost] = {}
        for place, (info, one) in enumerate(zip(infos, images, strict=True)):
            version = version_of(info, self.plan)
            if self.group.is_main:
                self.run.write_images(place, _subject(info, one, version))
            for unit in units_of(self.plan, place, len(one)):
                turn = unit.attack if unit.kind == "reliability" else unit.batch
                if turn % self.group.size != self.group.rank:
                    continue
                mine.append(unit)
                if self.run.read_unit(unit, version) is None:
                    left[unit] = work(self.plan, unit, len(one), stochastic=info.stochastic)
        return mine, left

    def _do(self, units: list[Unit], measurement: Measurement, clock: Clock) -> None:
        before: dict[str, str] = {}
        for unit in units:
            payload = self.run.read_unit(unit, measurement.version)
            if payload is not None:
                if unit.kind == "clean":
                    measurement.clean[unit.batch] = outcome_from_json(payload)
                continue
            self._check_stop(now=True)
            label = self.plan.labels[unit.attack] if unit.attack >= 0 else ""
            doing = {"phase": unit.kind, "checkpoint": measurement.info.name, "attack": label}
            self._update(now=doing != before, check="", **doing)
            before = doing
            started = time.perf_counter()
            with (
                self._warnings_noted(),
                use_acceleration(self.plan.acceleration),
                passes_told(self._listener(unit, clock, started)),
            ):
                payload = measurement.measure(unit)
            seconds = time.perf_counter() - started
            self._keep(unit, payload | {"version": measurement.version, "seconds": seconds})
            clock.note(unit, seconds)
            self._update(share=clock.share(), seconds_left=clock.seconds_left())

    def _listener(self, unit: Unit, clock: Clock, started: float) -> OnPass:
        """Return what ends the work on request and reports it, at every pass of a unit."""

        def listen(num_images: int) -> None:
            self._passes += num_images
            self._check_stop()
            now = time.perf_counter()
            if now - self._told < STATUS_INTERVAL:
                return
            self._told, elapsed = now, now - started
            self._update(
                passes=self._passes,
                share=clock.share(unit, elapsed),
                seconds_left=clock.seconds_left(unit, elapsed),
            )

        return listen

    @contextmanager
    def _warnings_noted(self) -> Iterator[None]:
        """Write warnings to the log and the status, each once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for sentence in dict.fromkeys(str(one.message) for one in caught):
            if sentence not in self._warned:
                self._warned.add(sentence)
                logger.warning("warning: %s", sentence)
                self._update(now=True, note="; ".join(sorted(self._warned)))

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


def _subject(info: CheckpointInfo, images: ImageSet, version: str) -> EvaluatedImages:
    return EvaluatedImages(
        info.digest,
        version,
        images.name,
        images.split,
        images.index.tolist(),
        images.y.tolist(),
        list(images.class_names),
    )
