"""The case that reliability checks examine: a model, images, an attack and its results."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, OnStep
from robust_core.evaluation.accuracy import RobustnessReport, measure_accuracy
from robust_core.evaluation.batch import counted
from robust_core.evaluation.variants import changed, has_parameter, in_same_threat_model, longer
from robust_core.gradients import predict_logits, repeatable_noise
from robust_core.models.guard import clean_tensor, guarded, is_stochastic
from robust_core.models.modes import evaluation_mode
from robust_core.units import percent

Found = TypeVar("Found")
Key = tuple[Attack, nn.Module | None]  # an attack and its surrogate


class _Once(Generic[Found]):
    """A property that is computed once for each object.

    Unlike `functools.cached_property` before Python 3.12, it has no lock for all objects: a thread
    that waits between two passes of one case does not hold up those of other cases.
    """

    def __init__(self, find: Callable[[Any], Found]) -> None:
        self.find, self.__doc__ = find, find.__doc__

    def __get__(self, case: Any, owner: type | None = None) -> Found:
        found = case.__dict__[self.find.__name__] = self.find(case)
        return found


@dataclass
class ReliabilityCase:
    """A model and an attack whose robust accuracy is checked. Results are kept.

    Attributes:
        model: the evaluated model; maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W]; the checks cost in proportion to N.
        y: labels [N].
        attack: whose robust accuracy is checked.
        eot_samples: forward passes averaged per prediction.
        transfer_model: another model whose adversarial examples may transfer, or None.
        effort: 1 for full checks; less shortens the costly attacks in proportion.
        surrogate: the model that the attack was computed on; None: `model`.
        inference: inference mode of `model` (`Classifier.inference`); empty for the base network.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    attack: Attack
    eot_samples: int = 1
    transfer_model: nn.Module | None = None
    effort: float = 1.0
    surrogate: nn.Module | None = None
    inference: str = ""
    _reports: dict[Key, RobustnessReport] = field(default_factory=dict)
    _used: list[Key] = field(default_factory=list)
    _broken: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check and normalise models and tensors."""
        self.x, self.y = clean_tensor(self.x), clean_tensor(self.y)
        self.model = guarded(self.model, self.x)
        for name in ("transfer_model", "surrogate"):
            other = getattr(self, name)
            setattr(self, name, None if other is None else guarded(other, self.x))

    @property
    def attacked(self) -> nn.Module:
        """The model whose gradients the attack used: the surrogate, if there is one."""
        return self.model if self.surrogate is None else self.surrogate

    @property
    def worst_case(self) -> Tensor:
        """Images that are correct under every attack so far in this threat model: bool [N]."""
        correct = self.report(self.attack).robust_correct.clone()
        for (attack, _), report in self._reports.items():
            if self._is_within(attack):
                correct &= report.robust_correct
        for broken in self._broken:
            correct &= ~broken
        return correct

    @property
    def not_finite(self) -> Tensor:
        """Images whose outputs under any attack so far were not finite: bool [N]."""
        return torch.stack([one.not_finite for one in self._reports.values()]).any(dim=0)

    @contextmanager
    def recording(self) -> Iterator[list[float]]:
        """Yield a list that then receives the robust accuracy under every attack run meanwhile.

        Only attacks within the case's threat model count, and not the checked attack itself.
        """
        left: list[float] = []
        self._used.clear()
        broken = len(self._broken)
        yield left
        for key in self._used:
            if key != (self.attack, self.surrogate) and self._is_within(key[0]):
                left.append(self._reports[key].robust_accuracy)
        for mask in self._broken[broken:]:
            still = self.report(self.attack).robust_correct & ~mask
            left.append(int(still.sum()) / len(still))

    def note_broken(self, broken: Tensor) -> None:
        """Note images that were fooled within the threat model: bool [N]."""
        self._broken.append(broken.cpu())

    def _is_within(self, attack: Attack) -> bool:
        return attack.norm is self.attack.norm and attack.epsilon <= self.attack.epsilon

    @_Once
    def robust_accuracy(self) -> float:
        """Robust accuracy under the checked attack, on these images."""
        return self.report(self.attack).robust_accuracy

    @_Once
    def correct(self) -> Tensor:
        """Images that are correct without an attack, and so are attacked: bool [N]."""
        return self.report(self.attack).clean_correct.to(self.x.device)

    @_Once
    def spread(self) -> float:
        """Largest difference between the logits of two passes; 0 for a deterministic model."""
        with evaluation_mode(self.model), self._noise():
            one, other = (predict_logits(self.model, self.x) for _ in range(2))
        return float((one - other).abs().max())

    @_Once
    def stochastic(self) -> bool:
        """Whether the model is stochastic: declared as such, or two passes differ."""
        return is_stochastic(self.model) or self.spread > 0

    @_Once
    def finite(self) -> bool:
        """Whether all outputs for the images are finite numbers."""
        return bool(torch.isfinite(self.predict()).all())

    def report(self, attack: Attack) -> RobustnessReport:
        """Return the evaluation under `attack`, computed on the surrogate, if there is one."""
        return self._report(attack, self.surrogate)

    def direct(self, attack: Attack) -> RobustnessReport:
        """Return the evaluation under `attack`, computed on the evaluated model itself."""
        return self._report(attack, None)

    def transferred(self, attack: Attack, source: nn.Module) -> RobustnessReport:
        """Return the evaluation under `attack`, computed on `source`."""
        return self._report(attack, source)

    def perturbed(self, attack: Attack, x: Tensor, y: Tensor, on_step: OnStep) -> Tensor:
        """Return images as `attack` leaves them, computed on the attacked model: [M,C,H,W]."""
        return attack(counted(self.attacked), x, y, on_step=on_step)

    def has(self, parameter: str) -> bool:
        """Return whether the attack has this parameter as a free choice."""
        return has_parameter(self.attack, parameter)

    @property
    def access(self) -> str:
        """What the attack computes from the model at each step: "gradient" or "query"."""
        return "query" if self.attack.gradient_free else "gradient"

    def changed(self, **parameters: Any) -> Attack:
        """Return the attack with other values of those parameters that it has."""
        return changed(self.attack, **parameters)

    def longer(self) -> Attack | None:
        """Return the attack with more steps, restarts or queries; see `variants`."""
        return longer(self.attack, self.effort)

    def other(self, name: str, **parameters: Any) -> Attack:
        """Return another attack in the same threat model and with the same seed."""
        return in_same_threat_model(self.attack, name, **parameters)

    def like(self, name: str) -> Attack:
        """Return another attack in the same threat model with as many steps and passes."""
        length = self.attack.model_dump(include={"num_steps", "eot_samples"})
        return changed(self.other(name), **length)

    def phrase(self, *, one: str, many: str) -> str:
        """Return the sentence for a single image, or the one for several."""
        return one if len(self.x) == 1 else many

    def images(self, share: float) -> str:
        """Return "the image" for a single image, or "12% of the images"."""
        return self.phrase(one="the image", many=f"{percent(share)} of the images")

    def compared(self, share: float) -> str:
        """Return a robust accuracy beside that of the checked attack.

        Such as "leaves a robust accuracy of 12.0%, not 40.0%"; the second is omitted if it reads
        the same. For a single image: whether it is fooled.
        """
        one = f"{'does not fool' if share > 0 else 'fools'} the model on the image"
        direct, checked = percent(share, 1), percent(self.robust_accuracy, 1)
        instead = "" if direct == checked else f", not {checked}"
        return self.phrase(one=one, many=f"leaves a robust accuracy of {direct}{instead}")

    def warn_above(self, share: float) -> float:
        """Return the share of images beyond which a check warns.

        It is `share`, but of fewer than 100 images a single one gives no warning. For a single
        image it is `share`.
        """
        num_images = len(self.x)
        # between one image and two, so that rounding does not matter
        return share if num_images == 1 or num_images >= 100 else max(share, 1.5 / num_images)

    def alarm_above(self, share: float) -> float:
        """Return the share of images beyond which a check fails: `share`, and more than one image.

        One image of several may be chance, and is a large share of few: it gives a warning. For a
        single image it is `share`.
        """
        num_images = len(self.x)
        return share if num_images == 1 else max(share, 1.5 / num_images)  # between one and two

    def predict(self) -> Tensor:
        """Return the logits of the images, one pass: float32 [N,K]."""
        with evaluation_mode(self.model), self._noise():
            return predict_logits(self.model, self.x)

    def mean_logits(self, x: Tensor) -> Tensor:
        """Return the mean logits for other images; each call draws the same noise.

        Args:
            x: images [M,C,H,W] in [0, 1].

        Returns:
            float32 [M,K].
        """
        with evaluation_mode(self.model), self._noise():
            return predict_logits(self.model, x, eot_samples=self.eot_samples)

    def _noise(self) -> AbstractContextManager[None]:
        return repeatable_noise(self.attack.seed, self.x.device)

    def _report(self, attack: Attack, source: nn.Module | None) -> RobustnessReport:
        key = attack, source
        self._used.append(key)
        if key not in self._reports:
            self._reports[key] = measure_accuracy(
                self.model,
                self.x,
                self.y,
                attack,
                eot_samples=self.eot_samples,
                surrogate=source,
            )
        return self._reports[key]
