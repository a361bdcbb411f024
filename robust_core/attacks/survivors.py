"""What several searches for the same images share: who still stands, the best, the clock."""

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robust_core.attacks.base import AttackStep, OnStep
from robust_core.attacks.goal import Goal
from robust_core.gradients import predict_logits
from robust_core.threat_model import ThreatModel

TOLERANCE = 1e-5  # float32 rounding of a distance


class TimeUp(Exception):  # noqa: N818 - no error: the search ends with what it has
    """The time limit is reached."""


class Survivors:
    """The images under attack; one that has fallen is kept as it fell, others at their best.

    Every iterate that any search looks at is entered by `look`. Of an image that stands the iterate
    of the highest margin is kept.

    Attributes:
        model: the attacked model, which alone decides.
        x: clean images [N,C,H,W]. goal: with the margin as its loss.
        eot_samples: passes whose mean is an answer.
        stochastic: whether the model's answers differ. As many fresh ones must then all be wrong;
            until they are, the search for a higher margin goes on.
        best: [N,C,H,W], the result so far. margin: its margin [N]. standing: bool [N].
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        goal: Goal,
        threat_model: ThreatModel,
        *,
        eot_samples: int,
        stochastic: bool,
        seconds: float | None,
        on_step: OnStep | None,
    ) -> None:
        """Begin with all images standing; `seconds` from now on the time is up."""
        self.model, self.x, self.goal, self.threat_model = model, x, goal, threat_model
        self.eot_samples, self.stochastic = eot_samples, stochastic
        self.best = x.clone()
        self.margin = torch.full((len(x),), -torch.inf, device=x.device)
        self.standing = torch.ones(len(x), dtype=torch.bool, device=x.device)
        self._until = None if seconds is None else time.monotonic() + seconds
        self._on_step = on_step
        self._num_searches = 0

    @property
    def index(self) -> Tensor:
        """Which images stand: int64 [M]."""
        return self.standing.nonzero().squeeze(1)

    @property
    def num_robust(self) -> int:
        """How many images have no adversarial iterate yet, by their mean answers."""
        return int((self.standing & (self.margin <= 0)).sum())

    def check_time(self) -> None:
        """Raise `TimeUp` once it is."""
        if self._until is not None and time.monotonic() >= self._until:
            raise TimeUp

    def new_search(self) -> int:
        """Return the number that the steps of one more search carry as their restart."""
        self._num_searches += 1
        return self._num_searches - 1

    def report(self, step: AttackStep) -> None:
        """Show a step to whoever watches the attack."""
        if self._on_step is not None:
            self._on_step(step)

    def answer(self, x: Tensor) -> Tensor:
        """Return the attacked model's logits, the mean of its passes: [M,C,H,W] -> [M,K]."""
        return predict_logits(self.model, x, eot_samples=self.eot_samples)

    def look(self, index: Tensor, x_adv: Tensor, logits: Tensor) -> Tensor:
        """Enter iterates and return which of them have fallen: bool [M].

        Args:
            index: which images they belong to [M].
            x_adv: in the ball [M,C,H,W].
            logits: the attacked model's answers [M,K].
        """
        goal = self.goal.select(index)
        fallen, margin = goal.reached(logits), goal(logits)
        if self.stochastic and bool(fallen.any()):  # a lucky draw is no success
            seeming = fallen.nonzero().squeeze(1)
            claimed = goal.select(seeming)
            answers = [predict_logits(self.model, x_adv[seeming]) for _ in range(self.eot_samples)]
            fallen[seeming] = torch.stack([claimed.reached(one) for one in answers]).all(dim=0)
            margin[seeming] = claimed(torch.stack(answers).mean(dim=0))
        better = self.standing[index] & (fallen | (margin > self.margin[index]))
        self.best[index[better]] = x_adv[better]
        self.margin[index[better]] = margin[better]
        self.standing[index[fallen]] = False
        return fallen


@dataclass
class Follower:
    """Enters the iterates of another attack, which knows nothing of survivors, as it takes them.

    An attack shows the images that it still searches, in their order; those that fall leave it at
    once. This is what `on_step` of budget attacks shows; of a minimum-norm attack only the clock is
    kept.
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
            goal = self.survivors.goal.select(self._left)
            self.survivors.look(self._left, step.x_adv, step.logits)
            self._left = self._left[~goal.reached(step.logits)]
        self.survivors.check_time()
