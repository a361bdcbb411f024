"""Clean and robust accuracy: what an evaluation found, image by image, and the loop behind it."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.attacks.base import TRAIN_MODE, Attack
from robust_core.attacks.description import describe_attack
from robust_core.attacks.notes import noted
from robust_core.errors import InputError
from robust_core.evaluation.batch import BatchOutcome, Evaluation, PassCounts
from robust_core.evaluation.finding import Finding, outcome_of_checks
from robust_core.evaluation.lowest import (
    LowestKnown,
    Measured,
    lowest_known,
    share_words,
    wilson_interval,
)

OnProgress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class RobustnessReport:
    """What an evaluation found, image by image.

    Attributes:
        attack: the exact attack, or None for clean accuracy alone.
        clean_correct: bool [N], predicted as labelled without a perturbation.
        robust_correct: bool [N], correct on the clean and on the attacked image.
        distance: float32 [N], ||x_adv - x|| in the attack's norm; 0 where no attack was needed.
        seconds: wall-clock time.
        forward_passes: images sent forward through the model.
        backward_passes: images for which a gradient was taken.
        prediction: int64 [N], the class predicted without a perturbation.
        attacked_prediction: int64 [N], the class predicted on the attacked image; `prediction`
            where no attack was needed.
        not_finite: bool [N], the output for the attacked image is not finite.
        findings: what checks of this number found; empty where none were made.
        checked_correct: bool [M], which of the M images on which this number was checked stay
            correct under every attack of the checks in this threat model; None: not checked.
        checked_index: int64 [M], the places of these images; None: the first M.
        notes: what else there is to say of the number, such as what a time limit cut off.
    """

    attack: Attack | None
    clean_correct: Tensor
    robust_correct: Tensor
    distance: Tensor
    seconds: float
    forward_passes: int
    backward_passes: int
    prediction: Tensor
    attacked_prediction: Tensor
    not_finite: Tensor
    findings: tuple[Finding, ...] = ()
    checked_correct: Tensor | None = None
    checked_index: Tensor | None = None
    notes: tuple[str, ...] = ()

    @property
    def num_images(self) -> int:
        """How many images were evaluated."""
        return len(self.clean_correct)

    @property
    def clean_accuracy(self) -> float:
        """Share of images predicted as labelled, in [0, 1]."""
        return int(self.clean_correct.sum()) / self.num_images

    @property
    def robust_accuracy(self) -> float:
        """Share of images that stay correct under the attack, in [0, clean_accuracy]."""
        return int(self.robust_correct.sum()) / self.num_images

    @property
    def clean_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the clean accuracy."""
        return wilson_interval(int(self.clean_correct.sum()), self.num_images)

    @property
    def robust_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the robust accuracy."""
        return wilson_interval(int(self.robust_correct.sum()), self.num_images)

    @property
    def checks(self) -> str:
        """What the checks of this number say: "pass", "fail: black box", or "not checked"."""
        return outcome_of_checks(self.findings)

    @property
    def lowest(self) -> LowestKnown:
        """The lowest accuracy that the attack or any attack of the checks has left."""
        name = "no attack" if self.attack is None else self.attack.name
        correct = self.robust_correct
        if self.checked_index is not None:
            others = torch.ones(self.num_images, dtype=torch.bool)
            others[self.checked_index] = False
            correct = torch.cat([correct[self.checked_index], correct[others]])
        return lowest_known([Measured(name, correct, self.findings, self.checked_correct)])

    def __str__(self) -> str:
        """Return the numbers with all that they rest on, and what they are worth."""
        lines = [f"clean   {share_words(self.clean_accuracy, self.clean_interval)}"]
        if self.attack is not None:
            attack = f"{self.attack.name}, {self.attack.threat_model}"
            lines.append(
                f"robust  {share_words(self.robust_accuracy, self.robust_interval)}, {attack}"
            )
            lines.append(f"checks  {self.checks}")
            lines += [f"note    {note}" for note in self.notes]
            if self.lowest.accuracy < self.robust_accuracy:
                lines.append(f"lowest  {self.lowest.words}")
        return "\n".join([*lines, f"images  {self.num_images}"])

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        checked = self.checked_correct
        return {
            "attack": None if self.attack is None else describe_attack(self.attack),
            "num_images": self.num_images,
            "clean_accuracy": self.clean_accuracy,
            "clean_interval": list(self.clean_interval),
            "robust_accuracy": self.robust_accuracy,
            "robust_interval": list(self.robust_interval),
            "clean_correct": self.clean_correct.tolist(),
            "robust_correct": self.robust_correct.tolist(),
            "distance": self.distance.tolist(),
            "seconds": self.seconds,
            "forward_passes": self.forward_passes,
            "backward_passes": self.backward_passes,
            "prediction": self.prediction.tolist(),
            "attacked_prediction": self.attacked_prediction.tolist(),
            "not_finite": self.not_finite.tolist(),
            "findings": [finding.to_json() for finding in self.findings],
            "checked_correct": None if checked is None else checked.tolist(),
            "checks": self.checks,
            "notes": list(self.notes),
        }


@torch.inference_mode(False)
def measure_accuracy(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack | None = None,
    *,
    batch_size: int = 256,
    eot_samples: int = 1,
    num_repeats: int = 1,
    surrogate: nn.Module | None = None,
    on_progress: OnProgress | None = None,
) -> RobustnessReport:
    """Measure clean accuracy and accuracy under `attack`, unchecked; see `evaluate`."""
    if attack is not None and not isinstance(attack, Attack):
        raise InputError(
            "the attack must be made by create_attack or attack_from, got a "
            f"{type(attack).__name__}"
        )
    evaluation = Evaluation(
        model, x, y, batch_size=batch_size, eot_samples=eot_samples, num_repeats=num_repeats
    )
    if surrogate is not None and any(part.training for part in surrogate.modules()):
        warnings.warn(f"the surrogate: {TRAIN_MODE}attacked in eval mode", stacklevel=4)
    started = time.perf_counter()
    outcomes: list[BatchOutcome] = []
    notes: list[str] = []
    for number, images in evaluation.batches():
        outcome = evaluation.predict(images, number)
        if attack is not None:
            with noted() as said:
                outcome = evaluation.attack(images, attack, outcome, number, surrogate=surrogate)
            notes += said
        outcomes.append(outcome)
        if on_progress is not None:
            on_progress(min(images.stop, len(x)), len(x))
    seconds = time.perf_counter() - started
    return make_report(
        attack, outcomes, seconds, evaluation.counts, notes=tuple(dict.fromkeys(notes))
    )


def make_report(
    attack: Attack | None,
    outcomes: Sequence[BatchOutcome],
    seconds: float,
    counts: PassCounts,
    **said: Any,
) -> RobustnessReport:
    """Return the report on batches in their order, at least one of them.

    Args:
        attack: the attack, or None.
        outcomes: of the batches.
        seconds: that all took.
        counts: of the passes.
        said: findings, checked_correct and notes of the report, where there are any.
    """
    tensors = {
        name: torch.cat([getattr(outcome, name) for outcome in outcomes])
        for name in BatchOutcome.__dataclass_fields__
    }
    return RobustnessReport(
        attack=attack,
        seconds=seconds,
        forward_passes=counts.forward,
        backward_passes=counts.backward,
        **tensors,
        **said,
    )
