"""The training loop: read from top to bottom, one run."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from robust_core.data import ImageSet, data_source, load_data
from robust_core.data.augmentation import Augmentation, augment
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import RobustnessReport, evaluate
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.reliability import Subject, check_reliability
from robust_core.methods.base import Batch, TrainingMethod
from robust_core.models.base import Classifier
from robust_core.registry import unknown_name
from robust_core.team import Team, average_gradients
from robust_core.training.cards import make_card
from robust_core.training.checkpoint import load_model, load_trained, save_checkpoint
from robust_core.training.clock import Clock
from robust_core.training.config import CardAttack, RunConfig
from robust_core.training.run_directory import RunDirectory, RunStatus, create_run
from robust_core.training.schedules import learning_rate
from robust_core.training.state import (
    compile_network,
    create_state,
    load_state,
    save_state,
    use_bfloat16,
)
from robust_core.training.work_directory import Progress, StopRequested, recorded

logger = logging.getLogger("robust_core.training")

SMALLEST_PART = 2  # images of a batch for one process
EVALUATION_BATCH = 128  # small enough to notice a request to stop within seconds
OnProgress = Callable[[RunStatus], None]


def train(
    config: RunConfig | None = None,
    run: RunDirectory | None = None,
    *,
    team: Team | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: OnProgress | None = None,
) -> RunDirectory:
    """Train as `config` says, in this process, and return the run's directory.

    Each epoch: train, judge on validation images, save. The best epoch is the one with the highest
    robust accuracy on validation images, then the highest clean accuracy, then the earliest (the
    other way round with `evaluation.best_by` "clean_accuracy"); at the end its weights are measured
    on test images, for the card of the checkpoint. A run that was stopped or killed goes on after
    its last complete epoch and ends as if it had not been: the order of the data, the augmentation
    and the method's randomness come from (seed, epoch).

    The processes of a team share every batch out; the leader alone judges and writes. The gradient
    is that of the whole batch; batch norm sees each process's part (the running statistics are
    averaged after every epoch), and the random numbers of each process are its own.

    A request to stop (`RunDirectory.request_stop`, or `should_stop`) ends the run in state
    "stopped"; the epoch under way is lost.

    Args:
        config: what to do; None takes it from `run`.
        run: a directory to work in, new or to be resumed; None makes one.
        team: the processes; None is this one alone. With several, all pass the same configuration
            and run; only the leader needs to see the run's folder.
        should_stop: asked at every step.
        on_progress: told the status whenever it is written, about twice a second.

    Raises:
        InputError: the run cannot begin or go on, in one sentence that its status shows, too;
            another process is at work on it; it has finished.
    """
    team = team or Team()
    if run is None:
        if config is None:
            raise InputError("training needs a configuration or a run directory, got neither")
        run = create_run(config)
    if not team.leads:
        with torch.random.fork_rng():
            _work_along(config or run.config(), run, team)
        return run
    with run.lock():
        status = run.status()
        if status.state == "finished":
            raise InputError(f"run {run.run_id!r} has finished; there is nothing left to train")
        fresh = RunStatus("starting", status.epoch, status.num_epochs, phase="starting")
        _train_recorded(config, run, team, Progress(run, on_progress, fresh), should_stop)
    return run


def _work_along(config: RunConfig, run: RunDirectory, team: Team) -> None:
    """Do this process's part of every step, until the leader ends the training."""
    loop = _Loop(config, run, team, _Silence(), lambda: False)
    try:
        for epoch in range(loop.state.epoch, config.epochs):
            loop.train_epoch(epoch)
            if loop.reason_to_stop() is not None:
                break
            loop.state.epoch = epoch + 1
    except StopRequested:
        logger.info("process %d stops with the leader", team.rank)


def _train_recorded(
    config: RunConfig | None,
    run: RunDirectory,
    team: Team,
    progress: Progress[RunStatus],
    should_stop: Callable[[], bool],
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
            _train(stored, run, team, progress, lambda: should_stop() or run.stop_requested())


def _train(
    config: RunConfig,
    run: RunDirectory,
    team: Team,
    progress: Progress[RunStatus],
    should_stop: Callable[[], bool],
) -> None:
    loop = _Loop(config, run, team, progress, should_stop)
    state = loop.state
    note = None
    for epoch in range(state.epoch, config.epochs):
        started = time.perf_counter()
        terms, rate = loop.train_epoch(epoch)
        reason = loop.reason_to_stop()
        if reason is not None:
            note = _early_end(epoch, reason)
            break
        with team.awaited():
            report = loop.validate()
            state.epoch = epoch + 1
            record = {
                "epoch": state.epoch,
                "terms": terms,
                "clean_accuracy": report.clean_accuracy,
                "robust_accuracy": report.robust_accuracy,
                "learning_rate": rate,
                "num_images": report.num_images,
                "seconds": time.perf_counter() - started,
            }
            state.metrics.append(record)
            if state.best is None or _score(config, record) > _score(config, state.best):
                state.best = record
                loop.save_best("validation", report)
            save_state(run.last, config, state)
            run.write_metrics(state.metrics)
            progress.update(now=True, epoch=state.epoch)
            logger.info(_epoch_line(record))
    run.write_metrics(state.metrics)
    loop.test()
    progress.update(now=True, state="finished", phase="", seconds_left=None, note=note)


class _Reporter(Protocol):
    """What the loop tells about its progress."""

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Note changes of the status; write them at once if `now`."""


class _Silence:
    """The reporter of a process whose leader reports for all."""

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Say nothing."""


class _Loop:
    """The parts of a run between which nothing is saved."""

    def __init__(
        self,
        config: RunConfig,
        run: RunDirectory,
        team: Team,
        progress: _Reporter,
        should_stop: Callable[[], bool],
    ) -> None:
        """Load the data and bring the state to where the run stands."""
        self.config, self.run, self.team, self.progress = config, run, team, progress
        self._should_stop = should_stop
        self._check_stop()
        self.device = team.device
        self.bfloat16 = use_bfloat16(config, self.device)
        source = data_source(config.data.name)
        self.augmentation: Augmentation = source.augmentation if config.augment else "none"
        training_set = load_split(config, "train")
        self.x, self.y = training_set.x.to(self.device), training_set.y.to(self.device)
        self.validation_set = load_split(config, "validation", config.evaluation.num_images)
        self._check_stop()
        self.state = create_state(
            config, training_set.image_shape, training_set.num_classes, self.device
        )
        self._check_card()
        reference = self.state.method.reference()
        if reference is not None:
            self.state.method.consult(load_model(reference).to(self.device))
        self.state.method.prepare(self.x, self.y)
        if config.compile:
            compile_network(self.state.model, self.state.method)
        saved = run.last.read_bytes() if team.leads and run.last.exists() else None
        saved = team.broadcast(saved)
        if saved is not None:
            load_state(saved, str(run.last), config, self.state)
        smallest = SMALLEST_PART * team.size
        self.num_batches = len(epoch_batches(len(self.y), config.batch_size, smallest))
        if self.num_batches == 0:
            raise InputError(
                f"every batch should have at least {smallest} images for {team.size} process(es), "
                f"got {len(self.y)} images in batches of {config.batch_size}"
            )
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
            "%s with %s on %s: %d images, %d x %s%s, after epoch %d of %d",
            config.model.name,
            config.method.name,
            config.data.name,
            len(self.y),
            team.size,
            self.device.type,
            " in bfloat16" if self.bfloat16 else "",
            self.state.epoch,
            config.epochs,
        )

    def train_epoch(self, epoch: int) -> tuple[dict[str, float], float]:
        """Train for one epoch; return the mean loss terms and the last learning rate."""
        config, state = self.config, self.state
        seed_epoch(config.seed, epoch)
        batches = epoch_batches(len(self.y), config.batch_size, SMALLEST_PART * self.team.size)
        if not self.team.leads:
            seed_epoch(config.seed + 7919 * self.team.rank, epoch)  # noise of its own
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
            for name, value in self._train_on(index.to(self.device), rate, step).items():
                sums[name] = sums.get(name, 0.0) + value
            self.progress.update(
                phase="training", step=step + 1, seconds_left=self.clock.seconds_left(step + 1)
            )
        self.team.average_running_statistics(state.model, state.method)
        if not state.is_finite():
            raise InputError(_diverged(config, epoch))
        everybody = self.team.gather(sums)
        means = {
            name: sum(one[name] for one in everybody) / self.num_batches
            for name in (sums if everybody else ())
        }
        return means, rate

    def _train_on(self, index: torch.Tensor, rate: float, step: int) -> dict[str, float]:
        """Take the optimiser's steps on one batch; return this process's part of the mean terms."""
        state, team = self.state, self.team
        part = index[team.rank :: team.size]
        images = augment(self.augmentation, self.x[part])
        if self.config.use_channels_last(self.bfloat16):
            images = images.contiguous(memory_format=torch.channels_last)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        sums: dict[str, float] = {}
        replays = state.method.num_replays
        share = len(part) / len(index)
        for replay in range(replays):
            for name, value in self._take_step(images, part, len(index)).items():
                sums[name] = sums.get(name, 0.0) + share * value / replays
            if state.average is not None:
                state.average.update(state.model, step * replays + replay)
        return sums

    def _take_step(
        self, images: torch.Tensor, part: torch.Tensor, batch_size: int
    ) -> dict[str, float]:
        """Take one step of the optimiser, on gradients gathered over pieces and processes.

        Args:
            images: this process's, augmented.
            part: their positions in the training set.
            batch_size: images of all processes together.
        """
        state = self.state
        state.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        smallest_part = batch_size // self.team.size  # so that every process makes as many pieces
        num_pieces = max(1, min(self.config.accumulate, smallest_part // SMALLEST_PART))
        pieces = zip(images.tensor_split(num_pieces), part.tensor_split(num_pieces), strict=True)
        for x, index in pieces:
            weight = len(index) / len(part)
            batch = Batch(x, self.y[index], index)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
                output = state.method.training_loss(state.model, batch)
            if not bool(torch.isfinite(output.loss)):
                raise InputError(_diverged(self.config, state.epoch))
            (output.loss if num_pieces == 1 else weight * output.loss).backward()
            state.method.after_backward(state.model)
            for name, value in output.terms.items():
                sums[name] = sums.get(name, 0.0) + weight * value
        average_gradients(state.model.parameters(), len(part) / batch_size)
        state.optimiser.step()
        state.method.after_step(state.model)
        return sums

    def reason_to_stop(self) -> str | None:
        """Return why the method ends training after this epoch, as the leader sees it."""
        return self.team.broadcast(self.state.method.reason_to_stop(self.state.model))

    def validate(self) -> RobustnessReport:
        """Judge the model on validation images."""
        self.progress.update(now=True, phase="validation")
        asked = CardAttack.of(self.config.validation_attack())
        report = self._evaluate(self.state.judged_model, self.validation_set, asked)
        self.clock.validated(report)
        return report

    def test(self) -> None:
        """Measure the best epoch on test images and write the numbers into its checkpoint."""
        best = self.state.best
        assert best is not None, "every run has at least one complete epoch here"
        self.progress.update(now=True, phase="test", seconds_left=self.clock.test_seconds)
        results = []
        for asked in self.config.card_attacks():
            images = self._test_images(asked.num_images)
            started = time.monotonic()

            def note_progress(done: int, total: int, started: float = started) -> None:
                seconds = (time.monotonic() - started) * (total - done) / done
                self.progress.update(seconds_left=seconds)

            report = self._evaluate(self._used(asked.inference), images, asked, note_progress)
            results.append((asked, report))
            logger.info(
                "best epoch %d on %d test images: clean %.1f %%, under %s %.1f %%",
                best["epoch"],
                report.num_images,
                100 * report.clean_accuracy,
                asked.name,
                100 * report.robust_accuracy,
            )
        self._save(
            *load_trained(self.run.best), "test", best["epoch"], results, self._check(results)
        )

    def _test_images(self, num_images: int | None) -> ImageSet:
        chosen = num_images or self.config.evaluation.test_num_images
        return load_split(self.config, "test", chosen)

    def _used(self, inference: str) -> Classifier:
        """Return the best epoch's network, used as `inference` says."""
        reference = f"{self.run.best}:{inference}" if inference else self.run.best
        return load_model(reference).to(self.device)

    def _check(self, results: list[tuple[CardAttack, RobustnessReport]]) -> list[Finding]:
        """Return what the checks say about the first number of the card."""
        num_images = self.config.evaluation.check_num_images
        if num_images == 0:
            return []
        self.progress.update(now=True, phase="checks")
        asked = results[0][0]
        images = self._test_images(num_images)
        x, y = images.x.to(self.device), images.y.to(self.device)
        subject = Subject(self._used(asked.inference), x, y, asked.attack())
        return check_reliability(subject, on_finding=lambda _: self._check_own_stop())

    def save_best(self, split: str, report: RobustnessReport) -> None:
        """Write the judged model as the run's checkpoint."""
        assert report.attack is not None
        asked = CardAttack.of(report.attack)
        state = self.state
        self._save(state.judged_model, state.method, split, state.epoch, [(asked, report)])

    def _save(
        self,
        model: Classifier,
        method: TrainingMethod,
        split: str,
        epoch: int,
        results: list[tuple[CardAttack, RobustnessReport]],
        findings: Sequence[Finding] = (),
    ) -> None:
        save_checkpoint(
            self.run.best,
            model,
            config=self.config,
            method=method,
            class_names=self.validation_set.class_names,
            epoch=epoch,
            card=make_card(self.config, split, epoch, results, findings),
        )

    def _evaluate(
        self,
        model: Classifier,
        images: ImageSet,
        asked: CardAttack,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> RobustnessReport:
        def check_and_tell(done: int, total: int) -> None:
            self._check_own_stop()
            if on_progress is not None:
                on_progress(done, total)

        return evaluate(
            model.eval(),
            images.x.to(self.device),
            images.y.to(self.device),
            asked.attack(),
            batch_size=EVALUATION_BATCH,
            surrogate=self._used(asked.crafted_on or "") if asked.transfers else None,
            on_progress=check_and_tell,
        )

    def _check_card(self) -> None:
        """Raise `InputError` if the card asks for a use of the network that there is not."""
        known = ("", *self.state.method.inferences(self.state.model))
        for asked in self.config.card_attacks():
            for name in (asked.inference, asked.crafted_on or ""):
                if name not in known:
                    raise unknown_name("inference", name, list(known[1:]))

    def _check_stop(self) -> None:
        """End the work of all processes where the leader has been asked to."""
        if self.team.broadcast(self._should_stop()):
            raise StopRequested

    def _check_own_stop(self) -> None:
        if self._should_stop():
            raise StopRequested


def load_split(config: RunConfig, split: str, num_images: int | None = None) -> ImageSet:
    """Return a split of the run's data set, or its first `num_images` images."""
    images = load_data(config.data.name, split, config.data.parameters, seed=config.data.seed)
    if num_images is None or num_images >= len(images):
        return images
    return images.subset(torch.arange(num_images))


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed torch's default generator from (seed, epoch), so that every epoch stands alone."""
    torch.manual_seed((seed * 1_000_003 + epoch + 1) % 2**63)


def epoch_batches(
    num_images: int, batch_size: int, smallest: int = SMALLEST_PART
) -> list[torch.Tensor]:
    """Return the images of each step, int64 [B], in an order drawn from the default generator.

    A last batch of fewer than `smallest` images is left out: batch norm cannot train on one image.
    """
    batches = list(torch.randperm(num_images).split(batch_size))
    return batches if len(batches[-1]) >= smallest else batches[:-1]


def _early_end(epoch: int, reason: str) -> str:
    if epoch == 0:
        raise InputError(f"training ended in its first epoch, which leaves no model: {reason}")
    logger.info("epoch %d is discarded and training ends: %s", epoch + 1, reason)
    return f"epoch {epoch + 1} was discarded and training ended: {reason}"


def _epoch_line(record: dict[str, Any]) -> str:
    terms = ", ".join(f"{name} {value:.4f}" for name, value in record["terms"].items())
    return (
        f"epoch {record['epoch']}: validation clean {record['clean_accuracy']:.1%}, "
        f"robust {record['robust_accuracy']:.1%}; {terms}; {record['seconds']:.1f} s"
    )


def _diverged(config: RunConfig, epoch: int) -> str:
    return (
        f"training diverged in epoch {epoch + 1}: loss or weights are no longer finite numbers; "
        f"expected a learning rate that keeps them so, got {config.optimiser.learning_rate:g}"
    )


def _score(config: RunConfig, record: dict[str, Any]) -> tuple[float, float]:
    robust, clean = record["robust_accuracy"], record["clean_accuracy"]
    return (clean, robust) if config.evaluation.best_by == "clean_accuracy" else (robust, clean)
