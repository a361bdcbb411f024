"""Clean and robust accuracy: the evaluator that decides whether an attack succeeded."""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.attacks.base import TRAIN_MODE, Attack, check_images
from robust_core.errors import InputError
from robust_core.evaluation.batch import BatchOutcome, PassCounts, attack_batch, predict_batch
from robust_core.evaluation.finding import Finding

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
        findings: what checks of this number found; empty where none were made.
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
    findings: tuple[Finding, ...] = ()

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

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
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
            "findings": [finding.to_json() for finding in self.findings],
        }


def describe_attack(attack: Attack) -> dict[str, Any]:
    """Return the registered name and the parameters of an attack as plain JSON values."""
    return {"name": attack.name, "parameters": attack.model_dump(mode="json")}


def evaluate(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack | None = None,
    *,
    batch_size: int = 256,
    eot_samples: int = 1,
    num_verdicts: int = 1,
    surrogate: nn.Module | None = None,
    on_progress: OnProgress | None = None,
) -> RobustnessReport:
    """Measure clean accuracy and accuracy under `attack`.

    Images that the model gets wrong without help count as not robust and are not attacked, so
    robust accuracy never exceeds clean accuracy. The seed of batch number b is attack.seed + b; it
    decides the noise of a stochastic model, too, so a repeated evaluation gives the same numbers.

    A stochastic model is right or wrong by chance. With one verdict the accuracies are those of a
    single answer; with several, only images that are right in every one count, so that no lucky
    draw makes an adversarial image robust.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images [N,C,H,W], float in [0, 1], N at least 1.
        y: labels [N], int64.
        attack: None measures clean accuracy alone.
        batch_size: images a batch.
        eot_samples: passes whose mean logits decide, for stochastic models.
        num_verdicts: independent decisions, all of which must be right, for stochastic models.
        surrogate: another model with the same classes, on which the attack is made; `model` judges
            the images (a transfer attack). Its passes count, too. None attacks `model` itself.
        on_progress: called after each batch with the images done and in all.

    Warns in one sentence where the model or a layer is in train mode, where it returns
    probabilities, and where its outputs for attacked images are not finite: these have fallen.

    Raises:
        InputError: no images; a count below 1; images, labels and outputs that do not fit each
            other; outputs for clean images that are not finite.
        RuntimeError: the attack left the image box or, if it has a budget, its ball.
    """
    check_images(model, x, y)
    if attack is not None and not isinstance(attack, Attack):
        raise InputError(
            "the attack must be made by create_attack or attack_from, got a "
            f"{type(attack).__name__}"
        )
    if len(x) == 0:
        raise InputError("an evaluation needs at least one image, got none")
    counted = {"batch_size": batch_size, "eot_samples": eot_samples, "num_verdicts": num_verdicts}
    for name, value in counted.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if any(part.training for part in model.modules()):
        warnings.warn(TRAIN_MODE + "evaluated in eval mode", stacklevel=2)
    if surrogate is not None and any(part.training for part in surrogate.modules()):
        warnings.warn(f"the surrogate: {TRAIN_MODE}attacked in eval mode", stacklevel=2)
    counts = PassCounts()
    started = time.perf_counter()
    outcomes: list[BatchOutcome] = []
    for number, start in enumerate(range(0, len(x), batch_size)):
        batch_x, batch_y = x[start : start + batch_size], y[start : start + batch_size]
        outcome = predict_batch(
            model,
            batch_x,
            batch_y,
            number=number,
            eot_samples=eot_samples,
            num_verdicts=num_verdicts,
            counts=counts,
        )
        if attack is not None:
            outcome = attack_batch(
                model,
                batch_x,
                batch_y,
                attack,
                outcome,
                number=number,
                eot_samples=eot_samples,
                num_verdicts=num_verdicts,
                surrogate=surrogate,
                counts=counts,
            )
        outcomes.append(outcome)
        if on_progress is not None:
            on_progress(min(start + batch_size, len(x)), len(x))
    return make_report(attack, outcomes, time.perf_counter() - started, counts)


def make_report(
    attack: Attack | None,
    outcomes: Sequence[BatchOutcome],
    seconds: float,
    counts: PassCounts,
    findings: tuple[Finding, ...] = (),
) -> RobustnessReport:
    """Return the report on batches in their order, at least one of them."""
    return RobustnessReport(
        attack=attack,
        clean_correct=torch.cat([outcome.clean_correct for outcome in outcomes]),
        robust_correct=torch.cat([outcome.robust_correct for outcome in outcomes]),
        distance=torch.cat([outcome.distance for outcome in outcomes]),
        seconds=seconds,
        forward_passes=counts.forward,
        backward_passes=counts.backward,
        prediction=torch.cat([outcome.prediction for outcome in outcomes]),
        attacked_prediction=torch.cat([outcome.attacked_prediction for outcome in outcomes]),
        findings=findings,
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share: Wilson, JASA 22 (1927), with z = 1.96.

    Stays within [0, 1] and has a sensible width at 0 and at `trials` successes.
    """
    z = 1.959964
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    half /= 1 + z * z / trials
    return max(0.0, centre - half), min(1.0, centre + half)
