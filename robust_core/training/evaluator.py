"""Evaluation of a network during and after training, which writes its checkpoint."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from robust_core.checkpoints.card import Card, CardResult, make_card
from robust_core.checkpoints.catalog import load_model, load_trained, save_checkpoint
from robust_core.config.attack_run import CardAttack
from robust_core.config.run import RunConfig
from robust_core.data import ImageSet, load_data
from robust_core.evaluation.accuracy import OnProgress, RobustnessReport
from robust_core.evaluation.chance import learning_warning
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from robust_core.jobs.recorder import Reporter
from robust_core.methods.base import TrainingMethod
from robust_core.models.base import Classifier
from robust_core.training.directory import RunDirectory
from robust_core.training.state import TrainingState
from robust_core.units import percent

logger = logging.getLogger("robust_core.training")

NOTED_IMAGES = 256  # for the card notes of a method
EVALUATION_BATCH = 128  # small enough to notice a request to stop within seconds


class RunEvaluator:
    """Validation after every epoch, and the model card of the best one."""

    def __init__(
        self,
        config: RunConfig,
        run: RunDirectory,
        state: TrainingState,
        device: torch.device,
        progress: Reporter,
        check_stop: Callable[[], None],
    ) -> None:
        """Load the validation images and check the evaluation of the card.

        Args:
            config: of the run.
            run: where the checkpoint is.
            state: of the training.
            device: where to compute.
            progress: told the phase and, for an attack, the seconds left.
            check_stop: called between batches; what it raises ends the work.

        Raises:
            InputError: the card needs an inference mode that the network does not have.
        """
        self.config, self.run, self.state, self.device = config, run, state, device
        self._progress, self._check_stop = progress, check_stop
        self.validation_set = load_split(config, "validation", config.evaluation.num_images)
        config.check_inferences(state.method.inferences(state.model))

    def validate(self) -> RobustnessReport:
        """Evaluate the network as it is on validation images."""
        self._progress.update(now=True, phase="validation")
        return evaluate(
            self.state.evaluated_model.eval(),
            self.validation_set.x.to(self.device),
            self.validation_set.y.to(self.device),
            self.config.validation_attack(),
            batch_size=EVALUATION_BATCH,
            on_progress=lambda done, total: self._check_stop(),
        )

    def save_best(self, report: RobustnessReport) -> None:
        """Save the current network as the run's checkpoint, with its validation results."""
        assert report.attack is not None
        result = CardResult(CardAttack.of(report.attack), report)
        state = self.state
        card = make_card(self.config, "validation", state.epoch, [result])
        self._save(state.evaluated_model, state.method, state.epoch, card)

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
        model, method = load_trained(self.run.best)
        assert method is not None, "what a run has made has a method"
        self._save(model, method, epoch, card)

    def _save(self, model: Classifier, method: TrainingMethod, epoch: int, card: Card) -> None:
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
) -> Card:
    """Run the evaluation of `config.evaluation` on test images and return the model card.

    All attacks use the first images of one stratified order of the test images. Reliability checks
    are run for the results that a table shows: as reported, and the lowest measured, for every
    inference mode and threat model.

    Args:
        path: the checkpoint.
        config: with the evaluation.
        epoch: complete epochs behind its weights.
        device: where to compute.
        on_phase: called with the current phase and, for an attack, the seconds left.
        check_stop: called between batches and checks; an exception from it ends the work.
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
            "best epoch %d on %d test images: clean %s, under %s %s",
            epoch,
            report.num_images,
            percent(report.clean_accuracy, 1),
            asked.words,
            percent(report.robust_accuracy, 1),
        )
    model, method = load_trained(path)
    assert method is not None, "what a run has made has a method"
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
        case = ReliabilityCase(
            load_in_mode(path, asked.inference, device),
            few.x.to(device),
            few.y.to(device),
            asked.attack(),
            surrogate=_surrogate(path, asked, device),
            inference=asked.inference,
            effort=config.evaluation.check_effort,
        )
        findings = tuple(check_reliability(case, on_finding=lambda _: check_stop()))
        checked = replace(report, findings=findings, checked_correct=case.worst_case)
        measured[place] = CardResult(asked, checked)
    return make_card(config, "test", epoch, measured, notes)


def _to_check(card: Card) -> list[int]:
    """Return the indices of the results that a table shows: as reported, and lowest measured.

    One of each for every inference mode and threat model with a reported result: the first claim of
    a paper, or the first result of the card.
    """
    robust = card.robust
    chosen: set[int] = set()
    for place, result in enumerate(robust):
        same = [other for other in range(len(robust)) if robust[other].compares_with(result)]
        claims = [other for other in same if robust[other].attack.role == "claim"]
        if place != next(iter([*claims, *({0} & set(same))]), None):
            continue
        lowest = card.lowest(result).by
        chosen |= {place, next(one for one in same if robust[one].attack.words == lowest)}
    return sorted(chosen)


def load_in_mode(path: Path, inference: str, device: torch.device) -> Classifier:
    """Return the network of a checkpoint in the given inference mode."""
    return load_model(f"{path}:{inference}" if inference else path).to(device)


def _surrogate(path: Path, asked: CardAttack, device: torch.device) -> Classifier | None:
    return load_in_mode(path, asked.surrogate_mode, device) if asked.transfers else None


def _evaluate(
    path: Path, images: ImageSet, asked: CardAttack, device: torch.device, note: OnProgress
) -> RobustnessReport:
    return evaluate(
        load_in_mode(path, asked.inference, device),
        images.x.to(device),
        images.y.to(device),
        asked.attack(),
        batch_size=EVALUATION_BATCH,
        num_repeats=asked.num_repeats,
        surrogate=_surrogate(path, asked, device),
        on_progress=note,
    )


def load_split(config: RunConfig, split: str, num_images: int | None = None) -> ImageSet:
    """Return a split of the run's data set, or a stratified sample of `num_images` of it."""
    images = load_data(config.data.name, split, config.data.parameters, seed=config.data.seed)
    return images if num_images is None else images.sample(num_images)
