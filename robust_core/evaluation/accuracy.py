"""Clean and robust accuracy: the evaluator that decides whether an attack succeeded."""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, check_images
from robust_core.engine import Prepared, prepared
from robust_core.engine.compilation import Found, LossFunction
from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.outputs import check_outputs
from robust_core.gradients import evaluation_mode, predict_logits, repeatable_noise
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

    Warns in one sentence where the model is in train mode or returns probabilities.

    Raises:
        InputError: no images; images, labels and outputs that do not fit each other; outputs for
            clean images that are not finite.
        RuntimeError: the attack left the image box or, if it has a budget, its ball.
    """
    check_images(model, x, y)
    if len(x) == 0:
        raise InputError("an evaluation needs at least one image, got none")
    if model.training:
        warnings.warn("the model is in train mode: it is evaluated in eval mode", stacklevel=2)
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


@dataclass(frozen=True)
class BatchOutcome:
    """What happened to the M images of a batch, on the CPU; see `RobustnessReport`."""

    prediction: Tensor
    clean_correct: Tensor
    robust_correct: Tensor
    distance: Tensor
    attacked_prediction: Tensor


class PassCounts:
    """Counters of passes that copies of a model share, so that an attack's twin of it counts, too.

    Attributes:
        forward: images sent forward.
        backward: images whose gradient was taken.
        on_pass: called after each forward pass; may raise to end an evaluation.
    """

    def __init__(self, on_pass: Callable[[], None] | None = None) -> None:
        self.forward = 0
        self.backward = 0
        self.on_pass = on_pass

    def __deepcopy__(self, memo: dict[int, Any]) -> "PassCounts":
        return self


def predict_batch(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    number: int,
    eot_samples: int,
    counts: PassCounts,
    num_verdicts: int = 1,
) -> BatchOutcome:
    """Return the outcome of a batch without an attack; arguments as for `attack_batch`."""
    counted = _CountedPasses(model, counts)
    with evaluation_mode(counted), repeatable_noise(number, x.device):
        logits = predict_logits(counted, x, eot_samples=eot_samples)
        check_outputs(logits, y, counted.num_classes)
        verdicts = _more_verdicts(counted, x, logits, num_verdicts, eot_samples)
    correct, prediction = (value.cpu() for value in _judge(verdicts, y))
    return BatchOutcome(prediction, correct, correct, torch.zeros(len(x)), prediction)


def attack_batch(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    clean: BatchOutcome,
    *,
    number: int,
    eot_samples: int,
    counts: PassCounts,
    num_verdicts: int = 1,
    surrogate: nn.Module | None = None,
) -> BatchOutcome:
    """Return the outcome of attacking the correct images of a batch; arguments as for `evaluate`.

    Args:
        model: judges the images.
        x: the images of the batch.
        y: their labels.
        attack: what they are attacked with.
        clean: their outcome without an attack.
        number: the batch's, which is added to the attack's seed; the sum decides the noise of a
            stochastic model, too.
        eot_samples: passes whose mean logits decide.
        counts: what the passes are added to.
        num_verdicts: decisions, all of which must be right.
        surrogate: the model that is attacked, where it is another one.
    """
    robust, distance = clean.clean_correct.clone(), torch.zeros(len(x))
    prediction = clean.prediction.clone()
    mask = clean.clean_correct
    if bool(mask.any()):
        counted = _CountedPasses(model, counts)
        subject = model if surrogate is None else surrogate
        seeded = attack.model_copy(update={"seed": attack.seed + number})
        chosen = mask.to(x.device)
        noise = repeatable_noise(seeded.seed, x.device)
        with evaluation_mode(counted), evaluation_mode(subject), noise:
            attacked = _CountedPasses(prepared(subject), counts)
            x_adv = seeded(attacked, x[chosen], y[chosen])
            check_budget(x_adv, x[chosen], attack)
            logits = predict_logits(counted, x_adv, eot_samples=eot_samples)
            verdicts = _more_verdicts(counted, x_adv, logits, num_verdicts, eot_samples)
        length = attack.threat_model.distance(x_adv, x[chosen])
        within = length <= attack.epsilon + BUDGET_TOLERANCE
        right, answer = _judge(verdicts, y[chosen])
        robust[mask] = (right | ~within).cpu()
        distance[mask] = length.cpu()
        prediction[mask] = answer.cpu()
    return BatchOutcome(clean.prediction, mask, robust, distance, prediction)


def _more_verdicts(
    model: nn.Module, x: Tensor, first: Tensor, number: int, eot_samples: int
) -> Tensor:
    """Return the logits of `number` decisions, of which `first` [N,K] is one: [V,N,K]."""
    more = [predict_logits(model, x, eot_samples=eot_samples) for _ in range(number - 1)]
    return torch.stack([first, *more])


def _judge(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether every verdict is right, bool [N], and the first wrong answer, or else y [N].

    An output that is no number is an answer as wrong as any.

    Args:
        logits: of V verdicts, [V,N,K].
        y: labels [N].
    """
    right = torch.stack([is_correct(each, y) & torch.isfinite(each).all(1) for each in logits])
    first_wrong = (~right).int().argmax(dim=0)  # 0 where all are right
    answers = logits.argmax(dim=2).gather(0, first_wrong[None]).squeeze(0)
    return right.all(dim=0), answers


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


class _CountedPasses(nn.Module):
    """A model that counts the images sent forward and those whose gradient is taken."""

    def __init__(self, model: nn.Module, counts: PassCounts) -> None:
        super().__init__()
        self.model = model
        self.num_classes = getattr(model, "num_classes", None)
        inner: tuple[str, ...] = getattr(model, "masking_parts", ())
        self.masking_parts = tuple(f"model.{name}" for name in inner)
        self.counts = counts
        self.training = model.training
        if isinstance(model, Prepared):
            self.exact_model = _CountedPasses(model.exact_model, counts)
            self.search_model = self.exact_model
            if model.search_model is not model.exact_model:
                self.search_model = _CountedPasses(model.search_model, counts)

    def search_step(self, x: Tensor, loss_function: LossFunction) -> Found | None:
        """Take the compiled step of a prepared model and count it."""
        step = self.model.search_step if isinstance(self.model, Prepared) else None
        found = None if step is None else step(x, loss_function)
        if found is not None:
            self._counted(found[2], len(x))
            self.counts.backward += len(x)
        return found

    @property
    def features(self) -> Callable[[Tensor], Tensor]:
        """The model's own, counted as its logits are; where it has none, neither has this."""
        features = getattr(self.model, "features")  # noqa: B009 - must raise AttributeError
        return lambda x: self._counted(features(x), len(x))

    def forward(self, x: Tensor) -> Tensor:
        return self._counted(self.model(x), len(x))

    def _counted(self, outputs: Tensor, num_images: int) -> Tensor:
        self.counts.forward += num_images
        if self.counts.on_pass is not None:
            self.counts.on_pass()
        if isinstance(outputs, Tensor) and outputs.requires_grad:
            outputs.register_hook(self._count_backward)
        return outputs

    def _count_backward(self, gradient: Tensor) -> None:
        self.counts.backward += len(gradient)
