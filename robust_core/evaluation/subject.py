"""What the checks of a robustness number look at: the model, the attack, and how both met."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, attack_from
from robust_core.attacks.ensemble import AttackChoice, AutoAttack, WorstCase
from robust_core.attacks.fgsm import FGSM
from robust_core.evaluation.accuracy import RobustnessReport, measure_accuracy
from robust_core.gradients import evaluation_mode, predict_logits, repeatable_noise
from robust_core.models.guard import clean_tensor, guarded, is_stochastic

MOST_STEPS, MOST_QUERIES = 10_000, 1_000_000  # what the attacks offer at most


Key = tuple[Attack, nn.Module | None]  # an attack and what it was made on


@dataclass
class Subject:
    """A model and the attack whose number is in doubt. Results are kept.

    Attributes:
        model: what is judged; maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W]; the checks cost in proportion to N.
        y: labels [N].
        attack: the attack behind the number.
        eot_samples: passes whose mean logits decide.
        surrogate: another model for the transfer check, or None.
        effort: 1 for a full check; less shortens the costly attacks in proportion.
        crafted_on: what the attack behind the number was made on; None: on `model` itself.
        inference: the way in which `model` uses its network (`Classifier.inference`); empty: it is
            the network itself.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    attack: Attack
    eot_samples: int = 1
    surrogate: nn.Module | None = None
    effort: float = 1.0
    crafted_on: nn.Module | None = None
    inference: str = ""
    _reports: dict[Key, RobustnessReport] = field(default_factory=dict)
    _used: list[Key] = field(default_factory=list)
    _broken: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let everybody's models and tensors in through the one door."""
        self.x, self.y = clean_tensor(self.x), clean_tensor(self.y)
        self.model = guarded(self.model, self.x)
        for name in ("surrogate", "crafted_on"):
            other = getattr(self, name)
            setattr(self, name, None if other is None else guarded(other, self.x))

    @property
    def attacked(self) -> nn.Module:
        """The model that the attack behind the number has looked at."""
        return self.model if self.crafted_on is None else self.crafted_on

    @property
    def worst_case(self) -> Tensor:
        """Which images stay correct under every attack so far in this threat model: bool [N]."""
        correct = self.report(self.attack).robust_correct.clone()
        for (attack, _), report in self._reports.items():
            if self._is_within(attack):
                correct &= report.robust_correct
        for broken in self._broken:
            correct &= ~broken
        return correct

    @property
    def not_finite(self) -> Tensor:
        """Images whose outputs under any attack so far were no finite numbers: bool [N]."""
        return torch.stack([one.not_finite for one in self._reports.values()]).any(dim=0)

    @contextmanager
    def recording(self) -> Iterator[list[float]]:
        """Yield a list that holds, afterwards, what every attack made meanwhile has left.

        Only what was attacked within the threat model in doubt counts, and not the number itself.
        """
        left: list[float] = []
        self._used.clear()
        broken = len(self._broken)
        yield left
        for key in self._used:
            if key != (self.attack, self.crafted_on) and self._is_within(key[0]):
                left.append(self._reports[key].robust_accuracy)
        for mask in self._broken[broken:]:
            still = self.report(self.attack).robust_correct & ~mask
            left.append(int(still.sum()) / len(still))

    def note_broken(self, broken: Tensor) -> None:
        """Note images that something broke within the threat model: bool [N]."""
        self._broken.append(broken.cpu())

    def _is_within(self, attack: Attack) -> bool:
        return attack.norm is self.attack.norm and attack.epsilon <= self.attack.epsilon

    @cached_property
    def robust_accuracy(self) -> float:
        """The number in doubt, on these images."""
        return self.report(self.attack).robust_accuracy

    @cached_property
    def correct(self) -> Tensor:
        """Which images are right without an attack, and so are attacked at all: bool [N]."""
        return self.report(self.attack).clean_correct.to(self.x.device)

    @cached_property
    def spread(self) -> float:
        """Largest difference between the logits of two passes; 0 if both answers are the same."""
        with evaluation_mode(self.model), self._noise():
            one, other = (predict_logits(self.model, self.x) for _ in range(2))
        return float((one - other).abs().max())

    @cached_property
    def random(self) -> bool:
        """Whether the model draws at random: it says so (`stochastic`), or two passes differ."""
        return is_stochastic(self.model) or self.spread > 0

    @cached_property
    def finite(self) -> bool:
        """Whether all outputs for the images are finite numbers."""
        return bool(torch.isfinite(self.predict()).all())

    def report(self, attack: Attack) -> RobustnessReport:
        """Return the evaluation under `attack`, made on what the number in doubt was made on."""
        return self._report(attack, self.crafted_on)

    def direct(self, attack: Attack) -> RobustnessReport:
        """Return the evaluation under `attack`, made on the judged model itself."""
        return self._report(attack, None)

    def transferred(self, attack: Attack, source: nn.Module) -> RobustnessReport:
        """Return the evaluation under `attack`, made on `source`."""
        return self._report(attack, source)

    def has(self, parameter: str) -> bool:
        """Return whether the attack in doubt has this parameter, for anybody to choose."""
        fields = type(self.attack).model_fields
        return parameter in fields and "Literal[1.0]" not in str(fields[parameter].annotation)

    @property
    def look(self) -> str:
        """What the attack in doubt asks the model for, again and again: "gradient" or "query"."""
        return "query" if self.attack.gradient_free else "gradient"

    def changed(self, **parameters: Any) -> Attack:
        """Return the attack in doubt with other values of those parameters that it has."""
        known = {name: value for name, value in parameters.items() if self.has(name)}
        return attack_from(self.attack.name, {**self.attack.model_dump(), **known})

    @property
    def other_loss(self) -> str | None:
        """The loss that the attack in doubt is compared with; None where it has no choice."""
        if not self.has("loss"):
            return None
        return "margin" if self.attack.model_dump()["loss"] == "cross_entropy" else "cross_entropy"

    def averaging(self, num_passes: int) -> Attack | None:
        """Return the attack in doubt with the mean of `num_passes` or more for each gradient.

        None where it can average nothing.
        """
        attack = _averaging(self.attack, num_passes)
        return attack if attack.averaged_passes >= num_passes else None

    def longer(self) -> Attack | None:
        """Return the attack in doubt with more steps, and more restarts where they are random.

        Steps so short that all of them together hardly cross the ball get their automatic length.
        Where it takes no steps, it may ask more queries. None where there is nothing to add.
        """
        values = self.attack.model_dump()
        more: dict[str, Any] = {}
        if self.has("num_steps"):
            more["num_steps"] = min(values["num_steps"] * self.count(4, 2), MOST_STEPS)
            step = values.get("step_size")
            if step is not None and step * values["num_steps"] < 2 * self.attack.epsilon:
                more["step_size"] = None
            if self.has("num_restarts") and values.get("random_start", True):
                more["num_restarts"] = min(values["num_restarts"] + self.count(4), 100)
        elif self.has("num_queries"):
            more["num_queries"] = min(values["num_queries"] * self.count(4, 2), MOST_QUERIES)
        longer = self.changed(**more)
        return None if longer == self.attack else longer

    def other(self, name: str, **parameters: Any) -> Attack:
        """Return another attack in the same ball and with the same seed."""
        attack = self.attack
        shared = {"norm": attack.norm, "epsilon": attack.epsilon, "seed": attack.seed}
        return attack_from(name, {**shared, **parameters})

    def count(self, full: int, least: int = 1) -> int:
        """Return a number of steps or queries, scaled by the effort."""
        return max(round(full * self.effort), least)

    def told(self, *, one: str, many: str) -> str:
        """Return the sentence for a single image, or the one for several."""
        return one if len(self.x) == 1 else many

    def images(self, share: float) -> str:
        """Return "the image" where there is one, "12% of the images" where there are several."""
        return self.told(one="the image", many=f"{share:.0%} of the images")

    def left(self, share: float) -> str:
        """Return what an attack leaves beside the number in doubt: "leaves 12.0%, not 40.0%".

        The number is left out where it reads the same; of one image, whether it falls is said.
        """
        one = "does not break the image" if share > 0 else "breaks the image"
        direct, doubted = f"{share:.1%}", f"{self.robust_accuracy:.1%}"
        instead = "" if direct == doubted else f", not {doubted}"
        return self.told(one=one, many=f"leaves {direct}{instead}")

    def warn_above(self, share: float) -> float:
        """Return the share of images beyond which a check warns.

        It is `share`, but of fewer than 100 images a single one is no reason. Where there is only
        one image, it is what the number is about.
        """
        num_images = len(self.x)
        # between one image and two, so that rounding does not matter
        return share if num_images == 1 or num_images >= 100 else max(share, 1.5 / num_images)

    def alarm_above(self, share: float) -> float:
        """Return the share of images beyond which a check gives alarm: `share`, and one image.

        One image of several may be chance, and of few it is a large share: it is a doubt. Where
        there is only one image, it is what the number is about.
        """
        num_images = len(self.x)
        return share if num_images == 1 else max(share, 1.5 / num_images)  # between one and two

    def predict(self) -> Tensor:
        """Return the logits of the images, one pass: float32 [N,K]."""
        with evaluation_mode(self.model), self._noise():
            return predict_logits(self.model, self.x)

    def judge(self, x: Tensor) -> Tensor:
        """Return the mean logits that decide on other images; each call draws the same noise.

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


def takes_one_step(attack: Attack) -> bool:
    """Return whether the attack looks at one gradient and takes one step, as FGSM does."""
    if isinstance(attack, WorstCase):
        return all(takes_one_step(member) for member in attack.members())
    return isinstance(attack, FGSM) or getattr(attack, "num_steps", None) == 1


def with_members(attack: WorstCase, change: Callable[[Attack], Attack]) -> Attack:
    """Return the worst case of the same attacks, each of them changed."""
    choices = [
        AttackChoice(name=member.name, parameters=member.model_dump(mode="json"))
        for member in map(change, attack.members())
    ]
    return attack_from(attack.name, {**attack.model_dump(), "attacks": choices})


def _averaging(attack: Attack, num_passes: int) -> Attack:
    """Return the attack with `num_passes` per gradient, or more, wherever it has that choice."""
    values = attack.model_dump()
    if isinstance(attack, AutoAttack):  # its `standard` has no choice
        num_passes = max(num_passes, attack.eot_samples)
        return attack_from(attack.name, {**values, "version": "rand", "eot_samples": num_passes})
    if isinstance(attack, WorstCase):
        return with_members(attack, lambda member: _averaging(member, num_passes))
    if "eot_samples" not in values:
        return attack
    return attack_from(attack.name, {**values, "eot_samples": num_passes})
