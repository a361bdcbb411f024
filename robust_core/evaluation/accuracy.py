"""Clean and robust accuracy: the evaluator that decides whether an attack succeeded."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, check_images
from robust_core.errors import InputError
from robust_core.gradients import evaluation_mode, predict_logits
from robust_core.losses import is_correct
from robust_core.threat_model import ThreatModel

OnProgress = Callable[[int, int], None]  # images done, images in all
BUDGET_TOLERANCE = 1e-5  # float32 rounding of x + delta - x, with room to spare


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
    """

    attack: Attack | None
    clean_correct: Tensor
    robust_correct: Tensor
    distance: Tensor
    seconds: float
    forward_passes: int
    backward_passes: int

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
    on_progress: OnProgress | None = None,
) -> RobustnessReport:
    """Measure clean accuracy and accuracy under `attack`.

    Images that the model gets wrong without help count as not robust and are not attacked, so
    robust accuracy never exceeds clean accuracy. The seed of batch number b is attack.seed + b.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images [N,C,H,W], float in [0, 1], N at least 1.
        y: labels [N], int64.
        attack: None measures clean accuracy alone.
        batch_size: images a batch.
        eot_samples: passes whose mean logits decide, for stochastic models.
        on_progress: called after each batch with the images done and in all.

    Raises:
        InputError: no images, or images and labels that do not fit.
        RuntimeError: the attack left the image box or, if it has a budget, its ball.
    """
    check_images(model, x, y)
    if len(x) == 0:
        raise InputError("an evaluation needs at least one image, got none")
    counted = _CountedPasses(model)
    started = time.perf_counter()
    clean, robust, distance = [], [], []
    with evaluation_mode(model):
        counted.eval()
        for number, start in enumerate(range(0, len(x), batch_size)):
            batch_x, batch_y = x[start : start + batch_size], y[start : start + batch_size]
            correct = is_correct(predict_logits(counted, batch_x, eot_samples=eot_samples), batch_y)
            robust_batch, moved = correct.clone(), torch.zeros(len(batch_x))
            if attack is not None and bool(correct.any()):
                seeded = attack.model_copy(update={"seed": attack.seed + number})
                survived, length = _attack_batch(
                    counted, batch_x[correct], batch_y[correct], seeded, eot_samples
                )
                robust_batch[correct], moved[correct.cpu()] = survived, length.cpu()
            clean.append(correct.cpu())
            robust.append(robust_batch.cpu())
            distance.append(moved)
            if on_progress is not None:
                on_progress(min(start + batch_size, len(x)), len(x))
    return RobustnessReport(
        attack,
        torch.cat(clean),
        torch.cat(robust),
        torch.cat(distance),
        time.perf_counter() - started,
        counted.counts.forward,
        counted.counts.backward,
    )


def _attack_batch(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, eot_samples: int
) -> tuple[Tensor, Tensor]:
    """Return which images survive, bool [M], and how far each was moved, [M]."""
    x_adv = attack(model, x, y)
    length = attack.threat_model.distance(x_adv, x)
    check_budget(x_adv, x, attack)
    wrong = ~is_correct(predict_logits(model, x_adv, eot_samples=eot_samples), y)
    within = length <= attack.epsilon + BUDGET_TOLERANCE
    return ~(wrong & within), length


def check_budget(x_adv: Tensor, x: Tensor, attack: Attack) -> None:
    """Raise RuntimeError unless `x_adv` is in [0, 1] and a budget attack kept its epsilon."""
    if not bool(((x_adv >= 0) & (x_adv <= 1)).all()):
        raise RuntimeError(f"attack {attack.name} returned pixels outside [0, 1]")
    threat_model: ThreatModel = attack.threat_model
    largest = float(threat_model.distance(x_adv, x).max())
    if not attack.minimum_norm and largest > attack.epsilon + BUDGET_TOLERANCE:
        raise RuntimeError(
            f"attack {attack.name} moved an image by {largest:.6f}, epsilon is {attack.epsilon:.6f}"
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


class _Counts:
    """Counters that copies of a model share, so that an attack's twin of it counts, too."""

    def __init__(self) -> None:
        self.forward = 0
        self.backward = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Counts":
        return self


class _CountedPasses(nn.Module):
    """A model that counts the images sent forward and those whose gradient is taken."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.num_classes = getattr(model, "num_classes", None)
        inner: tuple[str, ...] = getattr(model, "masking_parts", ())
        self.masking_parts = tuple(f"model.{name}" for name in inner)
        self.counts = _Counts()

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x)
        self.counts.forward += len(x)
        if isinstance(logits, Tensor) and logits.requires_grad:
            logits.register_hook(self._count_backward)
        return logits

    def _count_backward(self, gradient: Tensor) -> None:
        self.counts.backward += len(gradient)
