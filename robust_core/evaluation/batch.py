"""The outcome of one batch: what the model says of its images, and of them attacked."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack
from robust_core.engine import Prepared, prepared
from robust_core.engine.compilation import Found, LossFunction
from robust_core.evaluation.outputs import check_outputs
from robust_core.gradients import evaluation_mode, predict_logits, repeatable_noise
from robust_core.losses import is_correct
from robust_core.threat_model import ThreatModel

BUDGET_TOLERANCE = 1e-5  # float32 rounding of x + delta - x, with room to spare


@dataclass(frozen=True)
class BatchOutcome:
    """What happened to the M images of a batch, on the CPU; see `accuracy.RobustnessReport`."""

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
    with evaluation_mode(counted), repeatable_noise(number, x.device, stream="clean"):
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
    """Return the outcome of attacking the correct images of a batch; see `accuracy.evaluate`.

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
        seeded = attack.model_copy(update={"seed": (attack.seed + number) % 2**31})
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
        _warn_of_no_numbers(verdicts[:, within])
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


def _warn_of_no_numbers(logits: Tensor) -> None:
    """Warn where outputs [V,N,K] for attacked images within their radius are no finite numbers."""
    number = int((~torch.isfinite(logits)).any(dim=2).any(dim=0).sum())
    if number:
        warnings.warn(
            f"the model's outputs for {number} attacked image(s) are not finite: they count as "
            "fallen",
            stacklevel=4,
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
