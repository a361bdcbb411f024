"""The training loop: read from top to bottom, one run."""

import logging
import time
from collections.abc import Callable
from functools import partial

import torch

from robust_core.checkpoints.catalog import load_model
from robust_core.config.run import RunConfig
from robust_core.data import data_source
from robust_core.distributed import ProcessGroup
from robust_core.errors import InputError
from robust_core.evaluation.chance import learning_warning
from robust_core.jobs.recorder import Progress, Reporter, Silence, StopRequested, recorded
from robust_core.training.arrangement import arrange, begun_with, go_on_with, using_threads
from robust_core.training.clock import Clock
from robust_core.training.directory import RunDirectory, RunStatus
from robust_core.training.evaluator import RunEvaluator, load_split
from robust_core.training.metrics import EpochMetrics
from robust_core.training.schedules import (
    SMALLEST_PART,
    epoch_batches,
    learning_rate,
    seed_epoch,
)
from robust_core.training.state import (
    compile_network,
    create_state,
    load_state,
    read_state,
    save_state,
)
from robust_core.training.step import TrainingStep, diverged

logger = logging.getLogger("robust_core.training")

OnProgress = Callable[[RunStatus], None]


def train(
    config: RunConfig | None = None,
    run: RunDirectory | None = None,
    *,
    group: ProcessGroup | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: OnProgress | None = None,
    threads: int | None = None,
) -> RunDirectory:
    """Train as `config` says, in this process, and return the run's directory.

    Each epoch: train, evaluate on validation images, save. The best epoch is, of those at the
    method's full epsilon, the one with the highest robust accuracy on validation images, then the
    highest clean accuracy, then the earliest (the other way round with `evaluation.best_by`
    "clean_accuracy"); at the end its weights are measured
    on test images, for the card of the checkpoint. A run that was stopped or killed goes on after
    its last complete epoch and ends as if it had not been: the order of the data, the augmentation
    and the method's randomness come from (seed, epoch).

    The processes of a group share every batch out; the main process alone evaluates and writes. The
    gradient is that of the whole batch; batch norm sees each process's part (the running statistics
    are averaged after every epoch), and the random numbers of each process are its own.

    A request to stop (`RunDirectory.request_stop`, or `should_stop`) ends the run in state
    "stopped"; the epoch under way is lost.

    Args:
        config: what to do; None takes it from `run`.
        run: a directory to work in, new or to be resumed; None makes one.
        group: the processes; None is this one alone. With several, all pass the same configuration
            and run; only the main process needs to see the run's folder.
        should_stop: asked at every step.
        on_progress: told the status whenever it is written, about twice a second.
        threads: of torch, meanwhile; None: as many as the run began with, else as there are.

    Raises:
        InputError: the run cannot begin or go on, in one sentence that its status shows, too;
            another process is at work on it; it has finished.
    """
    group = group or ProcessGroup()
    if run is None:
        if config is None:
            raise InputError("training needs a configuration or a run directory, got neither")
        run = RunDirectory.create(config)
    if not group.is_main:
        with torch.random.fork_rng(), using_threads(threads):
            _work_along(config or run.config(), run, group, threads)
        return run
    with run.lock(), using_threads(threads):
        status = run.status()
        if status.state == "finished":
            raise InputError(f"run {run.run_id!r} has finished; there is nothing left to train")
        fresh = RunStatus("starting", status.epoch, status.num_epochs, phase="starting")
        progress = Progress(run, on_progress, fresh)
        _train_recorded(config, run, group, progress, should_stop, threads)
        run.sweep()
    return run


def _work_along(
    config: RunConfig, run: RunDirectory, group: ProcessGroup, threads: int | None
) -> None:
    """Do this process's part of every step, until the main process ends the training."""
    loop = _Loop(config, run, group, Silence(), lambda: False, threads)
    try:
        for epoch in range(loop.state.epoch, config.epochs):
            loop.train_epoch(epoch)
            if loop.reason_to_stop() is not None:
                break
            loop.state.epoch = epoch + 1
    except StopRequested:
        logger.info("process %d stops with the main process", group.rank)


def _train_recorded(
    config: RunConfig | None,
    run: RunDirectory,
    group: ProcessGroup,
    progress: Progress[RunStatus],
    should_stop: Callable[[], bool],
    threads: int | None,
) -> None:
    def so_far() -> str:
        return f"after epoch {progress.status.epoch}"

    def kept() -> str:
        return "its last complete epoch is kept" if run.last.exists() else "nothing was kept"

    with recorded(progress, so_far=so_far, kept=kept):
        stored = run.config()
        if config is not None and config != stored:
            raise InputError(f"run {run.run_id!r} was started with another configuration")
        with torch.random.fork_rng():
            _train(
                stored,
                run,
                group,
                progress,
                lambda: should_stop() or run.stop_requested(),
                threads,
            )


def _train(
    config: RunConfig,
    run: RunDirectory,
    group: ProcessGroup,
    progress: Progress[RunStatus],
    should_stop: Callable[[], bool],
    threads: int | None,
) -> None:
    loop = _Loop(config, run, group, progress, should_stop, threads)
    state = loop.state
    note = None
    for epoch in range(state.epoch, config.epochs):
        started = time.perf_counter()
        terms, rate = loop.train_epoch(epoch)
        reason = loop.reason_to_stop()
        if reason is not None:
            note = _early_end(epoch, reason)
            break
        with group.awaited():
            report = loop.evaluator.validate()
            loop.clock.validated(report)
            state.epoch = epoch + 1
            record = EpochMetrics(
                epoch=state.epoch,
                terms=terms,
                floors=state.method.loss_floors(state.model.num_classes),
                clean_accuracy=report.clean_accuracy,
                robust_accuracy=report.robust_accuracy,
                warning=learning_warning(report.prediction.cpu(), loop.evaluator.validation_set.y),
                learning_rate=rate,
                num_images=report.num_images,
                seconds=time.perf_counter() - started,
            )
            state.metrics.append(record)
            if state.best is None or record.rank(config) > state.best.rank(config):
                state.best = record
                loop.evaluator.save_best(report)
            save_state(run.last, config, state)
            run.write_metrics(state.metrics)
            progress.update(now=True, epoch=state.epoch)
            logger.info(record.words)
            if record.warning:
                logger.warning(record.warning)
    run.write_metrics(state.metrics)
    assert state.best is not None, "every run has at least one complete epoch here"
    progress.update(now=True, phase="test", seconds_left=loop.clock.test_seconds)
    loop.evaluator.test(state.best.epoch)
    progress.update(now=True, state="finished", phase="", seconds_left=None, note=note)


class _Loop:
    """The parts of a run between which nothing is saved."""

    def __init__(
        self,
        config: RunConfig,
        run: RunDirectory,
        group: ProcessGroup,
        progress: Reporter,
        should_stop: Callable[[], bool],
        threads: int | None,
    ) -> None:
        """Load the data and bring the state to where the run stands."""
        self.config, self.run, self.group, self.progress = config, run, group, progress
        self._should_stop = should_stop
        self._check_stop()
        self.device = group.device
        training_set = load_split(config, "train")
        x, y = training_set.x.to(self.device), training_set.y.to(self.device)
        self._check_stop()
        extent = (training_set.image_shape, training_set.num_classes)
        choose = partial(arrange, config, *extent, len(y), self.device)
        arrangement = group.agree(lambda: begun_with(run.path, run.last.exists(), choose))
        go_on_with(arrangement, threads_said=threads is not None)
        self.state = create_state(config, *extent, self.device, arrangement)
        self.evaluator = RunEvaluator(
            config, run, self.state, self.device, progress, self._check_own_stop
        )
        reference = self.state.method.reference()
        if reference is not None:
            self.state.method.consult(load_model(reference).to(self.device))
        self.state.method.prepare(x, y)
        if config.compile:
            compile_network(self.state.model, self.state.method)
        saved = read_state(run.last) if group.is_main else None
        saved = group.broadcast(saved)
        if saved is not None:
            load_state(saved, str(run.last), config, self.state)
            own = self.state.own
            self.state.method.set_own_state(own[group.rank] if group.rank < len(own) else None)
        source = data_source(config.data.name)
        self.train_on = TrainingStep(
            config,
            self.state,
            x,
            y,
            augmentation=source.augmentation if config.augment else "none",
            group=group,
        )
        smallest = SMALLEST_PART * group.size
        self.num_batches = len(epoch_batches(len(y), config.batch_size, smallest))
        if self.num_batches == 0:
            raise InputError(
                f"every batch should have at least {smallest} images for {group.size} process(es), "
                f"got {len(y)} images in batches of {config.batch_size}"
            )
        if group.is_main:
            for note in dict.fromkeys((*training_set.notes, *self.evaluator.validation_set.notes)):
                logger.info("%s: %s", config.data.name, note)
            for warning in config.warnings():
                logger.warning(warning)
        first_step = self.state.epoch * self.num_batches
        num_steps = config.epochs * self.num_batches
        self.clock = Clock(config, num_steps, first_step)
        progress.update(
            now=True,
            state="running",
            phase="training",
            epoch=self.state.epoch,
            step=first_step,
            num_epochs=config.epochs,
            num_steps=num_steps,
        )
        logger.info(
            "%s with %s on %s: %d images, %d x %s, after epoch %d of %d; %s",
            config.model.name,
            config.method.name,
            config.data.name,
            len(y),
            group.size,
            self.device.type,
            self.state.epoch,
            config.epochs,
            arrangement.words,
        )

    def train_epoch(self, epoch: int) -> tuple[dict[str, float], float]:
        """Train for one epoch; return the mean loss terms and the last learning rate."""
        config, state = self.config, self.state
        seed_epoch(config.seed, epoch)
        num_images = len(self.train_on.y)
        batches = epoch_batches(num_images, config.batch_size, SMALLEST_PART * self.group.size)
        if not self.group.is_main:
            seed_epoch(config.seed + 7919 * self.group.rank, epoch)  # noise of its own
        state.method.on_epoch_start(epoch, config.epochs)
        state.model.train()
        sums: dict[str, float] = {}
        rate = 0.0
        for number, index in enumerate(batches):
            self._check_stop()
            step = epoch * self.num_batches + number
            rate = learning_rate(
                config.schedule,
                config.optimiser.learning_rate,
                step,
                self.num_batches,
                config.epochs,
            )
            for name, value in self.train_on(index.to(self.device), rate, step).items():
                sums[name] = sums.get(name, 0.0) + value
            self.progress.update(
                phase="training", step=step + 1, seconds_left=self.clock.seconds_left(step + 1)
            )
        averaged = () if state.average is None else (state.average.model,)
        self.group.average_running_statistics(state.model, state.method, *averaged)
        if not state.is_finite():
            raise InputError(diverged(config, epoch))
        everybody = self.group.gather((sums, state.method.own_state()))
        state.own = [own for _, own in everybody]
        means = {
            name: sum(one[name] for one, _ in everybody) / self.num_batches
            for name in (sums if everybody else ())
        }
        return means, rate

    def reason_to_stop(self) -> str | None:
        """Return why the method ends training after this epoch, as the main process sees it."""
        return self.group.broadcast(self.state.method.reason_to_stop(self.state.model))

    def _check_stop(self) -> None:
        """End the work of all processes where the main process has been asked to."""
        if self.group.broadcast(self._should_stop()):
            raise StopRequested

    def _check_own_stop(self) -> None:
        if self._should_stop():
            raise StopRequested


def _early_end(epoch: int, reason: str) -> str:
    if epoch == 0:
        raise InputError(f"training ended in its first epoch, which leaves no model: {reason}")
    logger.info("epoch %d is discarded and training ends: %s", epoch + 1, reason)
    return f"epoch {epoch + 1} was discarded and training ended: {reason}"
