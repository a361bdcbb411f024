"""What judges a network while and after it is trained, and writes its checkpoint."""

import logging
import time
from collections.abc import Callable, Sequence

import torch

from robust_core.data import ImageSet, load_data
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.reliability import Subject, check_reliability
from robust_core.methods.base import TrainingMethod
from robust_core.models.base import Classifier
from robust_core.registry import unknown_name
from robust_core.training.cards import make_card
from robust_core.training.checkpoint import load_model, load_trained, save_checkpoint
from robust_core.training.config import CardAttack, RunConfig
from robust_core.training.run_directory import RunDirectory
from robust_core.training.state import TrainingState
from robust_core.training.work_directory import Reporter

logger = logging.getLogger("robust_core.training")

EVALUATION_BATCH = 128  # small enough to notice a request to stop within seconds


class Judge:
    """Validation after every epoch, and the card of the best one."""

    def __init__(
        self,
        config: RunConfig,
        run: RunDirectory,
        state: TrainingState,
        device: torch.device,
        progress: Reporter,
        check_stop: Callable[[], None],
    ) -> None:
        """Load the validation images and look at the card that is asked for.

        Args:
            config: of the run.
            run: where the checkpoint is.
            state: what is trained.
            device: where to compute.
            progress: told the phase and, for an attack, the seconds left.
            check_stop: called between batches; what it raises ends the work.

        Raises:
            InputError: the card asks for a use of the network that there is not.
        """
        self.config, self.run, self.state, self.device = config, run, state, device
        self._progress, self._check_stop = progress, check_stop
        self.validation_set = load_split(config, "validation", config.evaluation.num_images)
        known = ("", *state.method.inferences(state.model))
        for asked in config.card_attacks():
            for name in (asked.inference, asked.crafted_on or ""):
                if name not in known:
                    raise unknown_name("inference", name, list(known[1:]))

    def validate(self) -> RobustnessReport:
        """Judge the network as it is on validation images."""
        self._progress.update(now=True, phase="validation")
        asked = CardAttack.of(self.config.validation_attack())
        return self._evaluate(self.state.judged_model, self.validation_set, asked)

    def save_best(self, report: RobustnessReport) -> None:
        """Write the network as it is as the run's checkpoint, with what validation found."""
        assert report.attack is not None
        asked = CardAttack.of(report.attack)
        state = self.state
        self._save(state.judged_model, state.method, "validation", state.epoch, [(asked, report)])

    def test(self, epoch: int) -> None:
        """Measure the checkpoint saved after `epoch` on test images, for its card."""
        results = []
        for asked in self.config.card_attacks():
            images = self._test_images(asked.num_images)
            started = time.monotonic()

            def note_progress(done: int, total: int, started: float = started) -> None:
                seconds = (time.monotonic() - started) * (total - done) / done
                self._progress.update(seconds_left=seconds)

            report = self._evaluate(self._used(asked.inference), images, asked, note_progress)
            results.append((asked, report))
            logger.info(
                "best epoch %d on %d test images: clean %.1f %%, under %s %.1f %%",
                epoch,
                report.num_images,
                100 * report.clean_accuracy,
                asked.name,
                100 * report.robust_accuracy,
            )
        findings = self._check(results[0][0])
        self._save(*load_trained(self.run.best), "test", epoch, results, findings)

    def _check(self, asked: CardAttack) -> list[Finding]:
        """Return what the checks say about the first number of the card."""
        num_images = self.config.evaluation.check_num_images
        if num_images == 0:
            return []
        self._progress.update(now=True, phase="checks")
        images = self._test_images(num_images)
        x, y = images.x.to(self.device), images.y.to(self.device)
        subject = Subject(self._used(asked.inference), x, y, asked.attack())
        return check_reliability(subject, on_finding=lambda _: self._check_stop())

    def _test_images(self, num_images: int | None) -> ImageSet:
        chosen = num_images or self.config.evaluation.test_num_images
        return load_split(self.config, "test", chosen)

    def _used(self, inference: str) -> Classifier:
        """Return the best epoch's network, used as `inference` says."""
        reference = f"{self.run.best}:{inference}" if inference else self.run.best
        return load_model(reference).to(self.device)

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
            self._check_stop()
            if on_progress is not None:
                on_progress(done, total)

        return evaluate(
            model.eval(),
            images.x.to(self.device),
            images.y.to(self.device),
            asked.attack(),
            batch_size=EVALUATION_BATCH,
            num_verdicts=asked.num_verdicts,
            surrogate=self._used(asked.crafted_on or "") if asked.transfers else None,
            on_progress=check_and_tell,
        )


def load_split(config: RunConfig, split: str, num_images: int | None = None) -> ImageSet:
    """Return a split of the run's data set, or its first `num_images` images."""
    images = load_data(config.data.name, split, config.data.parameters, seed=config.data.seed)
    if num_images is None or num_images >= len(images):
        return images
    return images.subset(torch.arange(num_images))
