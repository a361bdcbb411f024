"""What judges a network while and after it is trained, and writes its checkpoint."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robust_core.attacks.description import short_words
from robust_core.checkpoints.card import CardResult, is_about, lowest_of, make_card, result_words
from robust_core.checkpoints.catalog import load_model, load_trained, save_checkpoint
from robust_core.config.run import CardAttack, RunConfig
from robust_core.data import ImageSet, load_data
from robust_core.evaluation.accuracy import OnProgress, RobustnessReport
from robust_core.evaluation.chance import learning_warning
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.reliability import Subject, check_reliability
from robust_core.jobs.directory import Reporter
from robust_core.methods.base import TrainingMethod
from robust_core.models.base import Classifier
from robust_core.registry import unknown_name
from robust_core.training.run_directory import RunDirectory
from robust_core.training.state import TrainingState

logger = logging.getLogger("robust_core.training")

NOTED_IMAGES = 256  # on which a method says what the accuracies do not show
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
        return evaluate(
            self.state.judged_model.eval(),
            self.validation_set.x.to(self.device),
            self.validation_set.y.to(self.device),
            self.config.validation_attack(),
            batch_size=EVALUATION_BATCH,
            on_progress=lambda done, total: self._check_stop(),
        )

    def save_best(self, report: RobustnessReport) -> None:
        """Write the network as it is as the run's checkpoint, with what validation found."""
        assert report.attack is not None
        result = CardResult(CardAttack.of(report.attack), report)
        state = self.state
        card = make_card(self.config, "validation", state.epoch, [result])
        self._save(state.judged_model, state.method, state.epoch, card)

    def test(self, epoch: int) -> None:
        """Measure the checkpoint saved after `epoch` on test images, for its card."""
        card = measure_card(
            self.run.best,
            self.config,
            epoch,
            device=self.device,
            on_phase=lambda phase, seconds: self._progress.update(
                now=seconds is None, phase=phase, seconds_left=seconds
            ),
            check_stop=self._check_stop,
        )
        self._save(*load_trained(self.run.best), epoch, card)

    def _save(
        self, model: Classifier, method: TrainingMethod, epoch: int, card: dict[str, Any]
    ) -> None:
        save_checkpoint(
            self.run.best,
            model,
            config=self.config,
            method=method,
            class_names=self.validation_set.class_names,
            epoch=epoch,
            card=card,
        )


OnPhase = Callable[[str, float | None], None]  # what is done, seconds left of an attack


def measure_card(
    path: Path,
    config: RunConfig,
    epoch: int,
    *,
    device: torch.device,
    on_phase: OnPhase = lambda phase, seconds: None,
    check_stop: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Measure what `config.evaluation` asks for on test images and return the card.

    All attacks take the beginning of one stratified order of the test images. Where checks are
    asked for, they are made of the numbers that a table shows: those in the way of the paper, and
    the lowest for every inference and threat model that has one.

    Args:
        path: the checkpoint.
        config: says what is measured.
        epoch: complete epochs behind its weights.
        device: where to compute.
        on_phase: told what is done, and of an attack how many seconds are left.
        check_stop: called between batches and checks; what it raises ends the work.
    """
    images = load_split(config, "test").in_sample_order()
    measured: list[CardResult] = []
    for asked in config.card_attacks():
        number = asked.num_images or config.evaluation.test_num_images or len(images)
        started = time.monotonic()

        def note_progress(done: int, total: int, started: float = started) -> None:
            check_stop()
            on_phase("test", (time.monotonic() - started) * (total - done) / done)

        report = _evaluate(path, images.subset(slice(number)), asked, device, note_progress)
        measured.append(CardResult(asked, report))
        logger.info(
            "best epoch %d on %d test images: clean %.1f %%, under %s %.1f %%",
            epoch,
            report.num_images,
            100 * report.clean_accuracy,
            short_words(asked.name, asked.parameters),
            100 * report.robust_accuracy,
        )
    model, method = load_trained(path)
    some = images.subset(slice(NOTED_IMAGES))
    prediction = measured[0].report.prediction
    at_chance = learning_warning(prediction, images.y[: len(prediction)])
    notes = (
        *images.notes,
        *method.card_notes(model, some.x, some.y, config.data.name),
        *filter(None, [at_chance]),
    )
    card = make_card(config, "test", epoch, measured, notes)
    if config.evaluation.check_num_images == 0:
        return card
    on_phase("checks", None)
    few = images.subset(slice(config.evaluation.check_num_images))
    for place in _to_check(card):
        asked, report = measured[place].asked, measured[place].report
        subject = Subject(
            load_used(path, asked.inference, device),
            few.x.to(device),
            few.y.to(device),
            asked.attack(),
            crafted_on=_surrogate(path, asked, device),
            inference=asked.inference,
            effort=config.evaluation.check_effort,
        )
        findings = tuple(check_reliability(subject, on_finding=lambda _: check_stop()))
        checked = replace(report, findings=findings, checked_correct=subject.worst_case)
        measured[place] = CardResult(asked, checked)
    return make_card(config, "test", epoch, measured, notes)


def _to_check(card: Mapping[str, Any]) -> list[int]:
    """Return the places of the results that a table shows: as reported, and the lowest.

    One of each for every inference and threat model in which something is reported: the first claim
    of a paper, or the first result of the card.
    """
    robust = card["robust"]
    chosen: set[int] = set()
    for place, result in enumerate(robust):
        same = [other for other in range(len(robust)) if is_about(robust[other], result)]
        claims = [other for other in same if robust[other]["role"] == "claim"]
        if place != next(iter([*claims, *({0} & set(same))]), None):
            continue
        lowest = lowest_of(card, result).by
        chosen |= {place, next(one for one in same if result_words(robust[one]) == lowest)}
    return sorted(chosen)


def load_used(path: Path, inference: str, device: torch.device) -> Classifier:
    """Return the network of a checkpoint, used as `inference` says."""
    return load_model(f"{path}:{inference}" if inference else path).to(device)


def _surrogate(path: Path, asked: CardAttack, device: torch.device) -> Classifier | None:
    return load_used(path, asked.crafted_on or "", device) if asked.transfers else None


def _evaluate(
    path: Path, images: ImageSet, asked: CardAttack, device: torch.device, note: OnProgress
) -> RobustnessReport:
    return evaluate(
        load_used(path, asked.inference, device),
        images.x.to(device),
        images.y.to(device),
        asked.attack(),
        batch_size=EVALUATION_BATCH,
        num_verdicts=asked.num_verdicts,
        surrogate=_surrogate(path, asked, device),
        on_progress=note,
    )


def load_split(config: RunConfig, split: str, num_images: int | None = None) -> ImageSet:
    """Return a split of the run's data set, or a stratified sample of `num_images` of it."""
    images = load_data(config.data.name, split, config.data.parameters, seed=config.data.seed)
    return images if num_images is None else images.sample(num_images)
