"""Accuracy as the attacker gets more: epsilon, steps, restarts, averaged passes.

Each curve spends as little as the logic of the matter allows. Larger epsilons contain smaller ones,
so epsilon at which an image falls is found by bisection. More steps or restarts include fewer, so
only survivors are attacked again. More averaged passes are just another attack: nothing is reused.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, attack_from
from robust_core.attacks.description import describe_attack
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import OnProgress
from robust_core.evaluation.batch import BUDGET_TOLERANCE, BatchOutcome, Evaluation
from robust_core.evaluation.lowest import wilson_interval

CUMULATIVE = ("num_steps", "num_queries", "num_restarts")  # more of it includes less of it
SEED_STRIDE = 1_000_003  # far more than there are batches, whose numbers are added to the seed


@dataclass(frozen=True)
class Curve:
    """Accuracy under one attack against one of its parameters.

    Attributes:
        attack: the attack; its own value of the parameter does not matter.
        parameter: the parameter that varies.
        values: V values, ascending.
        clean_correct: bool [N].
        robust_correct: bool [V,N], whether an image stands at each value.
        attacked_images: images attacked, counted once for every run of the attack.
        forward_passes: images sent forward.
        backward_passes: images for which a gradient was taken.
        seconds: wall-clock time.
    """

    attack: Attack
    parameter: str
    values: tuple[float, ...]
    clean_correct: Tensor
    robust_correct: Tensor
    attacked_images: int
    forward_passes: int
    backward_passes: int
    seconds: float

    @property
    def accuracies(self) -> list[float]:
        """Robust accuracy at each value, in [0, 1]."""
        counts: list[int] = self.robust_correct.sum(dim=1).tolist()
        return [count / len(self.clean_correct) for count in counts]

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """95 % confidence interval at each value."""
        counts: list[int] = self.robust_correct.sum(dim=1).tolist()
        return [wilson_interval(count, len(self.clean_correct)) for count in counts]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the single images as plain JSON values."""
        return {
            "attack": describe_attack(self.attack),
            "parameter": self.parameter,
            "values": list(self.values),
            "num_images": len(self.clean_correct),
            "clean_accuracy": int(self.clean_correct.sum()) / len(self.clean_correct),
            "accuracies": self.accuracies,
            "intervals": [list(interval) for interval in self.intervals],
            "attacked_images": self.attacked_images,
            "forward_passes": self.forward_passes,
            "backward_passes": self.backward_passes,
            "seconds": self.seconds,
        }


@torch.inference_mode(False)
def accuracy_curve(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    parameter: str,
    values: Sequence[float],
    *,
    batch_size: int = 256,
    eot_samples: int = 1,
    num_repeats: int = 1,
    surrogate: nn.Module | None = None,
    on_progress: OnProgress | None = None,
) -> Curve:
    """Measure accuracy under `attack` against one of its parameters.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W] in [0, 1].
        y: labels [N].
        attack: the other parameters are this attack's.
        parameter: what varies.
            "epsilon" (pixel units): by bisection, about log2(V) attacks an image. An image that
            stands at an epsilon is taken to stand at smaller ones; one that falls, to fall at every
            epsilon from the length of its perturbation on. A minimum-norm attack runs once: its
            distances are the curve.
            "num_steps", "num_queries", "num_restarts": an image that falls to less counts as fooled
            to more; only the further restarts are run.
            "eot_samples" or any other number: every value on its own.
        values: what the parameter takes, in any order; repeated ones count once.
        batch_size: images a batch.
        eot_samples: passes whose mean logits decide, for stochastic models.
        num_repeats: decisions, all of which must be right, see `evaluate`.
        surrogate: another model on which the attack is made, see `evaluate`.
        on_progress: called with the attacks on an image done and those needed at most.

    Raises:
        InputError: no values, an attack without this parameter, or a value out of its range.
    """
    grid = _grid(attack, parameter, values)
    evaluation = Evaluation(
        model, x, y, batch_size=batch_size, eot_samples=eot_samples, num_repeats=num_repeats
    )
    measured = _Measurement(evaluation, surrogate)
    robust = torch.zeros(len(grid), len(x), dtype=torch.bool)
    if len(measured.correct):
        if parameter != "epsilon":
            stands = _value_by_value(measured, attack, parameter, grid, on_progress)
        elif attack.minimum_norm:
            stands = _from_distances(measured, attack, grid, on_progress)
        else:
            stands = _by_bisection(measured, attack, grid, on_progress)
        robust[:, measured.correct] = stands
    return measured.curve(attack, parameter, grid, robust)


class _Measurement:
    """The model and the images of a curve, and what its runs have cost so far."""

    def __init__(self, evaluation: Evaluation, surrogate: nn.Module | None) -> None:
        """Measure clean accuracy."""
        self.evaluation, self.surrogate = evaluation, surrogate
        self.started = time.perf_counter()
        clean = [evaluation.predict(images, number) for number, images in evaluation.batches()]
        self.clean_correct = torch.cat([outcome.clean_correct for outcome in clean])
        self.attacked = 0

    @property
    def correct(self) -> Tensor:
        """Where the images are that are right without an attack, int64 [M]."""
        return self.clean_correct.nonzero().squeeze(1)

    def attack(
        self, attack: Attack, images: Tensor, on_batch: Callable[[int], None] = lambda done: None
    ) -> tuple[Tensor, Tensor]:
        """Attack correct images, int64 [M], M > 0: which stand, bool [M], and distances [M]."""
        stands, distance = [], []
        for number, batch in enumerate(images.split(self.evaluation.batch_size)):
            index = batch.to(self.evaluation.x.device)
            right = torch.ones(len(batch), dtype=torch.bool)
            clean = BatchOutcome.untouched(right, self.evaluation.y[index].cpu())
            outcome = self.evaluation.attack(index, attack, clean, number, surrogate=self.surrogate)
            stands.append(outcome.robust_correct)
            distance.append(outcome.distance)
            self.attacked += len(batch)
            on_batch(len(batch))
        return torch.cat(stands), torch.cat(distance)

    def curve(self, attack: Attack, parameter: str, grid: list[float], robust: Tensor) -> Curve:
        """Return the curve: robust is bool [V,N]."""
        return Curve(
            attack,
            parameter,
            tuple(grid),
            self.clean_correct,
            robust,
            self.attacked,
            self.evaluation.counts.forward,
            self.evaluation.counts.backward,
            time.perf_counter() - self.started,
        )


class _Progress:
    """Adds up the attacks on an image."""

    def __init__(self, on_progress: OnProgress | None, most: int) -> None:
        """Begin at 0 of `most`."""
        self.on_progress, self.most, self.done = on_progress, most, 0

    def add(self, number: int) -> None:
        """Note that `number` more attacks are done or spared."""
        self.done += number
        if self.on_progress is not None:
            self.on_progress(self.done, self.most)


def _grid(attack: Attack, parameter: str, values: Sequence[float]) -> list[float]:
    """Return the values, checked, ascending and once each."""
    if parameter not in type(attack).model_fields:
        raise InputError(f"attack {attack.name} has no parameter {parameter!r} to draw a curve of")
    if not values:
        raise InputError(f"a curve needs at least one value of {parameter}, got none")
    attacks = [_with(attack, **{parameter: value}) for value in values]
    averaged = [one.averaged_passes == getattr(one, "eot_samples", 1) for one in attacks]
    if parameter == "eot_samples" and not all(averaged):
        raise InputError(f"attack {attack.name}, as it is set here, averages no passes")
    return sorted({getattr(one, parameter) for one in attacks})


def _with(attack: Attack, **parameters: Any) -> Attack:
    return attack_from(attack.name, {**attack.model_dump(), **parameters})


def _from_distances(
    measured: _Measurement, attack: Attack, grid: list[float], on_progress: OnProgress | None
) -> Tensor:
    """Run a minimum-norm attack once and compare its distances with the epsilons."""
    changes: dict[str, Any] = {"epsilon": grid[-1]}
    if "stop_at_epsilon" in type(attack).model_fields:
        changes["stop_at_epsilon"] = False  # or the distances would only be bounds
    images = measured.correct
    progress = _Progress(on_progress, len(images))
    stands, distance = measured.attack(_with(attack, **changes), images, progress.add)
    return stands | (distance > torch.tensor(grid)[:, None] + BUDGET_TOLERANCE)


def _by_bisection(
    measured: _Measurement, attack: Attack, grid: list[float], on_progress: OnProgress | None
) -> Tensor:
    """Search, for every image, the first epsilon of the grid at which it is misclassified."""
    images = measured.correct
    radii = torch.tensor(grid, dtype=torch.float64)
    stands = torch.full((len(images),), -1 if grid[0] > 0 else 0)  # largest place known to stand
    falls = torch.full((len(images),), len(grid))  # smallest place known to fall
    left = _attacks_left(stands, falls)
    progress = _Progress(on_progress, left)
    while left > 0:
        middle = torch.where(falls - stands > 1, (stands + falls) // 2, -1)
        place = int(middle.max())
        chosen = (middle == place).nonzero().squeeze(1)
        stood, distance = measured.attack(_with(attack, epsilon=grid[place]), images[chosen])
        # the smallest epsilon that holds the perturbation
        reached = torch.searchsorted(radii, distance.double() - BUDGET_TOLERANCE)
        reached = torch.maximum(reached.clamp(max=place), stands[chosen] + 1)
        stands[chosen[stood]] = place
        falls[chosen[~stood]] = reached[~stood]
        progress.add(left - _attacks_left(stands, falls))
        left = _attacks_left(stands, falls)
    return torch.arange(len(grid))[:, None] < falls


def _attacks_left(stands: Tensor, falls: Tensor) -> int:
    """Return how many attacks bisection needs at most: ceil(log2(gap)) an image."""
    return sum((gap - 1).bit_length() for gap in (falls - stands).tolist())


def _value_by_value(
    measured: _Measurement,
    attack: Attack,
    parameter: str,
    grid: list[float],
    on_progress: OnProgress | None,
) -> Tensor:
    """Attack with one value after another; only the survivors where more includes less."""
    images = measured.correct
    remaining = torch.ones(len(images), dtype=torch.bool)
    rows = []
    progress = _Progress(on_progress, len(images) * len(grid))
    before = 0
    for place, value in enumerate(grid):
        if parameter not in CUMULATIVE:
            remaining = torch.ones(len(images), dtype=torch.bool)
        current = _with(attack, **{parameter: value})
        if parameter == "num_restarts":
            # a generator with the same seed would repeat the earlier starts
            seed = (attack.seed + place * SEED_STRIDE) % 2**31
            current = _with(attack, num_restarts=int(value - before), seed=seed)
            before = value
        progress.add(int((~remaining).sum()))
        if bool(remaining.any()):
            stood, _ = measured.attack(current, images[remaining], progress.add)
            remaining = remaining.masked_scatter(remaining, stood)
        rows.append(remaining)
    return torch.stack(rows)
