"""State shared by several searches on the same images: those still robust, the best, the clock."""

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robust_core.attacks.base import AttackStep, OnStep
from robust_core.attacks.criterion import Criterion
from robust_core.gradients import predict_logits
from robust_core.threat_model import ThreatModel

TOLERANCE = 1e-5  # float32 rounding of a distance


class TimeUp(Exception):  # noqa: N818 - no error: the search ends with what it has
    """The time limit is reached; the search ends with the best so far."""


class Survivors:
    """The images under attack: the adversarial example of a fooled one, the best iterate of others.

    Every iterate of any search is entered by `update`. Of an image that is not fooled, the iterate
    with the highest margin is kept.

    Attributes:
        model: the attacked model, which alone decides.
        x: clean images [N,C,H,W]. criterion: with the margin as its loss.
        eot_samples: passes averaged per query.
        stochastic: whether the model is stochastic. An image then counts as fooled only if
            `eot_samples` new passes are all wrong; until then the search goes on.
        best: [N,C,H,W], the result so far. margin: its margin [N]. remaining: not fooled, bool [N].
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        criterion: Criterion,
        threat_model: ThreatModel,
        *,
        eot_samples: int,
        stochastic: bool,
        seconds: float | None,
        on_step: OnStep | None,
    ) -> None:
        """Begin with all images remaining; the time is up `seconds` from now."""
        self.model, self.x, self.criterion, self.threat_model = model, x, criterion, threat_model
        self.eot_samples, self.stochastic = eot_samples, stochastic
        self.best = x.clone()
        self.margin = torch.full((len(x),), -torch.inf, device=x.device)
        self.remaining = torch.ones(len(x), dtype=torch.bool, device=x.device)
        self._until = None if seconds is None else time.monotonic() + seconds
        self._on_step = on_step
        self._num_searches = 0

    @property
    def index(self) -> Tensor:
        """Images that are not fooled: int64 [M]."""
        return self.remaining.nonzero().squeeze(1)

    @property
    def num_robust(self) -> int:
        """Number of images without an adversarial iterate, by their mean logits."""
        return int((self.remaining & (self.margin <= 0)).sum())

    def check_time(self) -> None:
        """Raise `TimeUp` once it is."""
        if self._until is not None and time.monotonic() >= self._until:
            raise TimeUp

    def new_search(self) -> int:
        """Return the restart number for the steps of a new search."""
        self._num_searches += 1
        return self._num_searches - 1

    def report(self, step: AttackStep) -> None:
        """Pass a step on to `on_step`."""
        if self._on_step is not None:
            self._on_step(step)

    def answer(self, x: Tensor) -> Tensor:
        """Return the attacked model's logits, the mean of its passes: [M,C,H,W] -> [M,K]."""
        return predict_logits(self.model, x, eot_samples=self.eot_samples)

    def update(self, index: Tensor, x_adv: Tensor, logits: Tensor) -> Tensor:
        """Enter iterates and return which of them fool the model: bool [M].

        Args:
            index: which images they belong to [M].
            x_adv: within the threat model [M,C,H,W].
            logits: of the attacked model [M,K].
        """
        criterion = self.criterion.select(index)
        fooled, margin = criterion.is_met(logits), criterion(logits)
        if self.stochastic and bool(fooled.any()):  # a lucky draw is no success
            seeming = fooled.nonzero().squeeze(1)
            claimed = criterion.select(seeming)
            answers = [predict_logits(self.model, x_adv[seeming]) for _ in range(self.eot_samples)]
            fooled[seeming] = torch.stack([claimed.is_met(one) for one in answers]).all(dim=0)
            margin[seeming] = claimed(torch.stack(answers).mean(dim=0))
        better = self.remaining[index] & (fooled | (margin > self.margin[index]))
        self.best[index[better]] = x_adv[better]
        self.margin[index[better]] = margin[better]
        self.remaining[index[fooled]] = False
        return fooled


@dataclass
class Follower:
    """An `on_step` that enters the iterates of another attack into `survivors`.

    A step of a budget attack holds the images that are still attacked, in their order; fooled ones
    leave it at once. For a minimum-norm attack, only the time limit is checked.
    """

    survivors: Survivors
    index: Tensor  # images given to the attack
    enters: bool
    _restart: int = -1
    _number: int = 0

    def __post_init__(self) -> None:
        self._left = self.index  # those that the attack still searches

    def __call__(self, step: AttackStep) -> None:
        """Take one step."""
        if step.restart != self._restart:
            self._restart, self._number = step.restart, self.survivors.new_search()
        self.survivors.report(replace(step, restart=self._number))
        if self.enters:
            criterion = self.survivors.criterion.select(self._left)
            self.survivors.update(self._left, step.x_adv, step.logits)
            self._left = self._left[~criterion.is_met(step.logits)]
        self.survivors.check_time()
