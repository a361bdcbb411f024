"""The one evaluation loop: what a model says of a batch of images, and of them attacked."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.acceleration.compilation import Found, LossFunction
from robust_core.acceleration.optimised import OptimisedModel, optimised
from robust_core.attacks.base import TRAIN_MODE, Attack, check_images
from robust_core.errors import InputError
from robust_core.evaluation.outputs import check_outputs
from robust_core.gradients import predict_logits, repeatable_noise
from robust_core.losses import is_correct
from robust_core.models.guard import (
    ModelWrapper,
    attack_surrogates,
    clean_tensor,
    guarded,
    known_classes,
)
from robust_core.models.modes import evaluation_mode
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
    not_finite: Tensor

    @classmethod
    def untouched(cls, correct: Tensor, prediction: Tensor) -> "BatchOutcome":
        """Return the outcome without an attack: correct bool [M], prediction int64 [M]."""
        none = torch.zeros(len(correct))
        return cls(prediction, correct, correct, none, prediction, none.bool())


OnPass = Callable[[int], None]  # told how many images a forward pass had
_LISTENERS: ContextVar[tuple[OnPass, ...]] = ContextVar("pass_listeners", default=())


@contextmanager
def passes_told(listener: OnPass) -> Iterator[None]:
    """Tell `listener` every forward pass that is counted meanwhile, in this thread.

    All evaluations count theirs: those of attacks, of curves and of checks. An exception that the
    listener raises ends whatever is being computed.
    """
    token = _LISTENERS.set((*_LISTENERS.get(), listener))
    try:
        yield
    finally:
        _LISTENERS.reset(token)


class PassCounts:
    """Counters of passes that copies of a model share, so that passes of a BPDA copy count, too.

    Attributes:
        forward: images sent forward.
        backward: images whose gradient was taken.
        on_pass: called after each forward pass; may raise to end an evaluation.
    """

    def __init__(self, on_pass: Callable[[], None] | None = None) -> None:
        self.forward = 0
        self.backward = 0
        self.on_pass = on_pass

    def note_forward(self, num_images: int) -> None:
        """Count a forward pass of N images and tell whoever listens."""
        self.forward += num_images
        if self.on_pass is not None:
            self.on_pass()
        for listener in _LISTENERS.get():
            listener(num_images)

    def __deepcopy__(self, memo: dict[int, Any]) -> "PassCounts":
        return self


class Evaluation:
    """A model and the images it is evaluated on, checked once at the door; then batch by batch.

    The seed of batch b is attack.seed + b; it decides the noise of a stochastic model, too.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        batch_size: int = 256,
        eot_samples: int = 1,
        num_repeats: int = 1,
        counts: PassCounts | None = None,
    ) -> None:
        """Check and keep everything; arguments as for `evaluate`, `counts` is added to.

        Raises:
            InputError: no images, a count below 1, or images, labels and model that do not fit.
        """
        counted = {
            "batch_size": batch_size,
            "eot_samples": eot_samples,
            "num_repeats": num_repeats,
        }
        for name, value in counted.items():
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        self.model = check_images(model, x, y)
        if len(x) == 0:
            raise InputError("an evaluation needs at least one image, got none")
        if any(part.training for part in model.modules()):
            warnings.warn(TRAIN_MODE + "evaluated in eval mode", stacklevel=4)
        self.x, self.y = clean_tensor(x), clean_tensor(y)
        self.batch_size, self.eot_samples = batch_size, eot_samples
        self.num_repeats = num_repeats
        self.counts = counts or PassCounts()
        self._counted = CountedPasses(self.model, self.counts)

    def batches(self) -> Iterator[tuple[int, slice]]:
        """Yield the number and the place of every batch."""
        for number, start in enumerate(range(0, len(self.x), self.batch_size)):
            yield number, slice(start, start + self.batch_size)

    def predict(self, images: slice, number: int) -> BatchOutcome:
        """Return the outcome without an attack.

        Args:
            images: place of the batch.
            number: of the batch, which decides the noise of a stochastic model.

        Raises:
            InputError: outputs for these images that no accuracy can be made of.
        """
        x, y = self.x[images], self.y[images]
        with evaluation_mode(self._counted), repeatable_noise(number, x.device, stream="clean"):
            logits = predict_logits(self._counted, x, eot_samples=self.eot_samples)
            check_outputs(logits, y, known_classes(self.model), self.model)
            right, answer = _decided(self._all_answers(x, logits), y)
        return BatchOutcome.untouched(right.cpu(), answer.cpu())

    def attack(
        self,
        images: slice | Tensor,
        attack: Attack,
        clean: BatchOutcome,
        number: int,
        *,
        surrogate: nn.Module | None = None,
    ) -> BatchOutcome:
        """Return the outcome of attacking the images that are right without an attack.

        Args:
            images: place of the batch, or positions int64 [M].
            attack: what they are attacked with.
            clean: their outcome without an attack.
            number: of the batch, which is added to the attack's seed; the sum decides the noise of
                a stochastic model, too.
            surrogate: the model that is attacked, where it is another one.
        """
        x, y = self.x[images], self.y[images]
        chosen = clean.clean_correct.to(x.device)
        if not bool(chosen.any()):
            return clean
        x, y = x[chosen], y[chosen]
        attacked = self.model if surrogate is None else guarded(surrogate, x)
        seeded = attack.model_copy(update={"seed": (attack.seed + number) % 2**31})
        noise = repeatable_noise(seeded.seed, x.device)
        with evaluation_mode(self._counted), evaluation_mode(attacked), noise:
            x_adv = seeded(CountedPasses(optimised(attacked), self.counts), x, y)
            check_budget(x_adv, x, attack)
            logits = predict_logits(self._counted, x_adv, eot_samples=self.eot_samples)
            answers = self._all_answers(x_adv, logits)
        length = attack.threat_model.distance(x_adv, x)
        within = length <= attack.epsilon + BUDGET_TOLERANCE
        right, answer = _decided(answers, y)
        not_finite = (~torch.isfinite(answers)).any(dim=2).any(dim=0) & within
        _warn_of_no_numbers(not_finite)
        return _scattered(clean, right | ~within, length, answer, not_finite)

    def _all_answers(self, x: Tensor, first: Tensor) -> Tensor:
        """Return the logits of all decisions, of which `first` [N,K] is one: [V,N,K]."""
        more = [
            predict_logits(self._counted, x, eot_samples=self.eot_samples)
            for _ in range(self.num_repeats - 1)
        ]
        return torch.stack([first, *more])


def _scattered(
    clean: BatchOutcome, robust: Tensor, distance: Tensor, answer: Tensor, not_finite: Tensor
) -> BatchOutcome:
    """Return the outcome of a batch from that of its correct images, each value [M']."""
    mask = clean.clean_correct
    values = {
        "robust_correct": robust,
        "distance": distance,
        "attacked_prediction": answer,
        "not_finite": not_finite,
    }
    changed = {}
    for name, value in values.items():
        changed[name] = getattr(clean, name).clone()
        changed[name][mask] = value.cpu()
    return replace(clean, **changed)


def _decided(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether every repeat is right, bool [N], and the first wrong answer, or else y [N].

    An output that is no number is an answer as wrong as any.

    Args:
        logits: of V repeats, [V,N,K].
        y: labels [N].
    """
    right = torch.stack([is_correct(each, y) & torch.isfinite(each).all(1) for each in logits])
    first_wrong = (~right).int().argmax(dim=0)  # 0 where all are right
    answers = logits.argmax(dim=2).gather(0, first_wrong[None]).squeeze(0)
    return right.all(dim=0), answers


def _warn_of_no_numbers(not_finite: Tensor) -> None:
    """Warn if the outputs for adversarial images within epsilon are not finite."""
    number = int(not_finite.sum())
    if number:
        warnings.warn(
            f"the model's outputs for {number} adversarial image(s) are not finite: they count as "
            "misclassified",
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


class CountedPasses(ModelWrapper):
    """A model that counts the images sent forward and those whose gradient is taken."""

    def __init__(self, model: nn.Module, counts: PassCounts) -> None:
        """Wrap a model; `counts` is added to at every pass."""
        super().__init__(model)
        self.counts = counts
        if isinstance(model, OptimisedModel):
            self.exact_model = CountedPasses(model.exact_model, counts)
            self.search_model = self.exact_model
            if model.search_model is not model.exact_model:
                self.search_model = CountedPasses(model.search_model, counts)

    def attack_surrogates(self) -> tuple[nn.Module, ...]:
        """Return those of the model, counted with it."""
        return tuple(CountedPasses(one, self.counts) for one in attack_surrogates(self.model))

    def search_step(self, x: Tensor, loss_function: LossFunction) -> Found | None:
        """Take the compiled step of an optimised model and count it."""
        step = self.model.search_step if isinstance(self.model, OptimisedModel) else None
        found = None if step is None else step(x, loss_function)
        if found is not None:
            self._note(found[2], len(x))
            self.counts.backward += len(x)
        return found

    @property
    def features(self) -> Callable[[Tensor], Tensor]:
        """The model's own, counted as its logits are; where it has none, neither has this."""
        features = super().features
        return lambda x: self._note(features(x), len(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, and count: [N,C,H,W] -> [N,K]."""
        return self._note(self.model(x), len(x))

    def _note(self, outputs: Tensor, num_images: int) -> Tensor:
        self.counts.note_forward(num_images)
        if isinstance(outputs, Tensor) and outputs.requires_grad:
            outputs.register_hook(self._count_backward)
        return outputs

    def _count_backward(self, gradient: Tensor) -> None:
        self.counts.backward += len(gradient)


def counted(model: nn.Module) -> nn.Module:
    """Return the model for a computation of its own, optimised, whose passes are told."""
    return CountedPasses(optimised(model), PassCounts())


def watched(model: nn.Module, on_pass: Callable[[], None] | None) -> nn.Module:
    """Return the same model, which calls `on_pass` after every forward pass.

    An exception that it raises ends whatever the model is used for. None: the model itself.
    """
    return model if on_pass is None else CountedPasses(model, PassCounts(on_pass))
