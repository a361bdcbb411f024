"""The training loop: read from top to bottom, one run."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from robust_core.attacks.base import Attack
from robust_core.data import ImageSet, data_source, load_data
from robust_core.data.augmentation import Augmentation, augment
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import RobustnessReport, describe_attack, evaluate
from robust_core.methods.base import Batch
from robust_core.models.base import Classifier
from robust_core.training.checkpoint import load_model, save_checkpoint, versions
from robust_core.training.config import RunConfig
from robust_core.training.run_directory import RunDirectory, RunStatus, create_run
from robust_core.training.schedules import learning_rate
from robust_core.training.state import (
    create_state,
    load_state,
    save_state,
    use_bfloat16,
)
from robust_core.training.work_directory import Progress, StopRequested, recorded

logger = logging.getLogger("robust_core.training")

EVALUATION_BATCH = 128  # small enough to notice a request to stop within seconds
OnProgress = Callable[[RunStatus], None]


def train(
    config: RunConfig | None = None,
    run: RunDirectory | None = None,
    *,
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

    A request to stop (`RunDirectory.request_stop`, or `should_stop`) ends the run in state
    "stopped"; the epoch under way is lost.

    Args:
        config: what to do; None takes it from `run`.
        run: a directory to work in, new or to be resumed; None makes one.
        should_stop: asked at every step.
        on_progress: told the status whenever it is written, about twice a second.

    Raises:
        InputError: the run cannot begin or go on, in one sentence that its status shows, too;
            another process is at work on it; it has finished.
    """
    if run is None:
        if config is None:
            raise InputError("training needs a configuration or a run directory, got neither")
        run = create_run(config)
    with run.lock():
        status = run.status()
        if status.state == "finished":
            raise InputError(f"run {run.run_id!r} has finished; there is nothing left to train")
        fresh = RunStatus("starting", status.epoch, status.num_epochs, phase="starting")
        _train_recorded(config, run, Progress(run, on_progress, fresh), should_stop)
    return run


def _train_recorded(
    config: RunConfig | None,
    run: RunDirectory,
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
            _train(stored, run, progress, lambda: should_stop() or run.stop_requested())


def _train(
    config: RunConfig,
    run: RunDirectory,
    progress: Progress[RunStatus],
    should_stop: Callable[[], bool],
) -> None:
    loop = _Loop(config, run, progress, should_stop)
    state = loop.state
    note = None
    for epoch in range(state.epoch, config.epochs):
        started = time.perf_counter()
        terms, rate = loop.train_epoch(epoch)
        reason = state.method.reason_to_stop(state.model)
        if reason is not None:
            note = _early_end(epoch, reason)
            break
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


class _Loop:
    """The parts of a run between which nothing is saved."""

    def __init__(
        self,
        config: RunConfig,
        run: RunDirectory,
        progress: Progress[RunStatus],
        should_stop: Callable[[], bool],
    ) -> None:
        """Load the data and bring the state to where the run stands."""
        self.config, self.run, self.progress = config, run, progress
        self._should_stop = should_stop
        self._check_stop()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
        if run.last.exists():
            load_state(run.last, config, self.state)
        self.steps_per_epoch = _num_batches(len(self.y), config.batch_size)
        first_step = self.state.epoch * self.steps_per_epoch
        num_steps = config.epochs * self.steps_per_epoch
        self.clock = _Clock(config, num_steps, first_step)
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
            "%s with %s on %s: %d images, %s%s, after epoch %d of %d",
            config.model.name,
            config.method.name,
            config.data.name,
            len(self.y),
            self.device.type,
            " in bfloat16" if self.bfloat16 else "",
            self.state.epoch,
            config.epochs,
        )

    def train_epoch(self, epoch: int) -> tuple[dict[str, float], float]:
        """Train for one epoch; return the mean loss terms and the last learning rate."""
        config, state = self.config, self.state
        seed_epoch(config.seed, epoch)
        state.method.on_epoch_start(epoch, config.epochs)
        state.model.train()
        sums: dict[str, float] = {}
        rate = 0.0
        for number, index in enumerate(epoch_batches(len(self.y), config.batch_size)):
            self._check_stop()
            step = epoch * self.steps_per_epoch + number
            rate = learning_rate(
                config.schedule,
                config.optimiser.learning_rate,
                step,
                self.steps_per_epoch,
                config.epochs,
            )
            for name, value in self._take_step(index.to(self.device), rate, step).items():
                sums[name] = sums.get(name, 0.0) + value
            self.progress.update(
                phase="training", step=step + 1, seconds_left=self.clock.seconds_left(step + 1)
            )
        if not state.is_finite():
            raise InputError(_diverged(config, epoch))
        return {name: value / self.steps_per_epoch for name, value in sums.items()}, rate

    def _take_step(self, index: torch.Tensor, rate: float, step: int) -> dict[str, float]:
        """Take one step of the optimiser and return the method's loss terms."""
        state = self.state
        images = augment(self.augmentation, self.x[index])
        if self.bfloat16:
            images = images.contiguous(memory_format=torch.channels_last)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            output = state.method.training_loss(state.model, Batch(images, self.y[index], index))
        if not bool(torch.isfinite(output.loss)):
            raise InputError(_diverged(self.config, state.epoch))
        state.optimiser.zero_grad(set_to_none=True)
        output.loss.backward()
        state.method.after_backward(state.model)
        state.optimiser.step()
        if state.average is not None:
            state.average.update(state.model, step)
        return output.terms

    def validate(self) -> RobustnessReport:
        """Judge the model on validation images."""
        self.progress.update(now=True, phase="validation")
        report = self._evaluate(
            self.state.judged_model, self.validation_set, self.config.validation_attack()
        )
        self.clock.validated(report)
        return report

    def test(self) -> None:
        """Measure the best epoch on test images and write the numbers into its checkpoint."""
        best = self.state.best
        assert best is not None, "every run has at least one complete epoch here"
        self.progress.update(now=True, phase="test", seconds_left=self.clock.test_seconds)
        images = load_split(self.config, "test", self.config.evaluation.test_num_images)
        started = time.monotonic()

        def note_progress(done: int, total: int) -> None:
            seconds = (time.monotonic() - started) * (total - done) / done
            self.progress.update(seconds_left=seconds)

        model = load_model(self.run.best).to(self.device)
        reports = []
        for attack in self.config.card_attacks():
            started = time.monotonic()
            report = self._evaluate(model, images, attack, note_progress)
            reports.append(report)
            logger.info(
                "best epoch %d on %d test images: clean %.1f %%, under %s %.1f %%",
                best["epoch"],
                report.num_images,
                100 * report.clean_accuracy,
                attack.name,
                100 * report.robust_accuracy,
            )
        self._save(model, "test", best["epoch"], reports)

    def save_best(self, split: str, report: RobustnessReport) -> None:
        """Write the judged model as the run's checkpoint."""
        self._save(self.state.judged_model, split, self.state.epoch, [report])

    def _save(
        self, model: Classifier, split: str, epoch: int, reports: Sequence[RobustnessReport]
    ) -> None:
        save_checkpoint(
            self.run.best,
            model,
            config=self.config,
            class_names=self.validation_set.class_names,
            epoch=epoch,
            card=make_card(self.config, split, epoch, reports),
        )

    def _evaluate(
        self,
        model: Classifier,
        images: ImageSet,
        attack: Attack,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> RobustnessReport:
        def check_and_tell(done: int, total: int) -> None:
            self._check_stop()
            if on_progress is not None:
                on_progress(done, total)

        return evaluate(
            model.eval(),
            images.x.to(self.device),
            images.y.to(self.device),
            attack,
            batch_size=EVALUATION_BATCH,
            on_progress=check_and_tell,
        )

    def _check_stop(self) -> None:
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


def epoch_batches(num_images: int, batch_size: int) -> list[torch.Tensor]:
    """Return the images of each step, int64 [B], in an order drawn from the default generator.

    A last batch of a single image is left out: batch norm cannot train on it.
    """
    batches = list(torch.randperm(num_images).split(batch_size))
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


def _num_batches(num_images: int, batch_size: int) -> int:
    whole, rest = divmod(num_images, batch_size)
    return whole + (rest > 1) if whole else 1


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


def make_card(
    config: RunConfig, split: str, epoch: int, reports: Sequence[RobustnessReport]
) -> dict[str, Any]:
    """Return the card of a checkpoint from what evaluations of the same images found."""
    return {
        "split": split,
        "num_images": reports[0].num_images,
        "clean_accuracy": reports[0].clean_accuracy,
        "clean_interval": reports[0].clean_interval,
        "robust": [
            {
                "attack": describe_attack(report.attack),
                "accuracy": report.robust_accuracy,
                "interval": report.robust_interval,
                "num_images": report.num_images,
            }
            for report in reports
            if report.attack is not None
        ],
        "epoch": epoch,
        "seed": config.seed,
        "versions": versions(),
    }


class _Clock:
    """Estimates the time left from the steps this process has taken and the attack's cost."""

    def __init__(self, config: RunConfig, num_steps: int, first_step: int) -> None:
        self.started = time.monotonic()
        self.num_steps = num_steps
        self.first_step = first_step
        self.test_seconds = 0.0
        self._config = config

    def seconds_left(self, step: int) -> float:
        """Return the seconds for the steps after `step`, with validation, and for the test."""
        per_step = (time.monotonic() - self.started) / (step - self.first_step)
        return per_step * (self.num_steps - step) + self.test_seconds

    def validated(self, report: RobustnessReport) -> None:
        """Learn from a validation how long the test will take at most."""
        assert report.attack is not None
        test_images = self._config.evaluation.test_num_images or report.num_images
        per_pass = report.seconds / (report.num_images * report.attack.passes())
        self.test_seconds = per_pass * test_images * self._config.test_attack().passes()
