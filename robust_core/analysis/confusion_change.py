"""How confusion differs between two models that met the same attack on the same images."""

from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

from robust_core.errors import InputError


@dataclass(frozen=True)
class PairChange:
    """Two classes that are taken for each other, by one model and by another.

    Attributes:
        first: the lower class, i.
        second: the higher class, j.
        strength: (R_ij + R_ji) / 2 of the first model, in [0, 1].
        other: the same of the second model.
    """

    first: int
    second: int
    strength: float
    other: float

    @property
    def change(self) -> float:
        """Return other - strength: below 0 where the second model takes them apart better."""
        return self.other - self.strength


@dataclass(frozen=True)
class PairedOutcome:
    """On how many images one of two models is right and the other one is not.

    Attributes:
        only_first: images that only the first model gets right.
        only_second: images that only the second one gets right.
        p_value: of the exact McNemar test: how likely a difference at least as large is if each of
            these images falls to either model by the toss of a coin; 1 without such an image.
    """

    only_first: int
    only_second: int
    p_value: float


def pair_changes(shares: Tensor, other: Tensor, limit: int | None = None) -> list[PairChange]:
    """Return the pairs of classes whose strength differs, the largest change first.

    Args:
        shares: R [K,K] of the first model; NaN (classes without an image) counts as 0.
        other: R [K,K] of the second model.
        limit: how many pairs at most; None: all that changed.

    Raises:
        InputError: matrices of different classes.
    """
    if shares.shape != other.shape:
        raise InputError(
            f"two models should have the same classes, got {len(shares)} and {len(other)}"
        )
    strengths = [(part + part.T) / 2 for part in map(torch.nan_to_num, (shares, other))]
    pairs = [
        PairChange(i, j, float(strengths[0][i, j]), float(strengths[1][i, j]))
        for i in range(len(shares))
        for j in range(i + 1, len(shares))
    ]
    changed = [pair for pair in pairs if pair.change != 0.0]
    changed.sort(key=lambda pair: (-abs(pair.change), pair.first, pair.second))
    return changed[:limit]


def paired_outcome(correct: Tensor, other: Tensor) -> PairedOutcome:
    """Return how two models differ on the same images, and whether that may be chance.

    Args:
        correct: bool [N], where the first model is right.
        other: bool [N], where the second one is.

    Raises:
        InputError: different numbers of images.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12 (1947); the exact binomial form, two-sided.
    """
    if correct.shape != other.shape:
        raise InputError(
            "two models should be evaluated on the same images, got "
            f"{len(correct)} and {len(other)}"
        )
    first, second = int((correct & ~other).sum()), int((other & ~correct).sum())
    p_value = binomtest(first, first + second).pvalue if first + second else 1.0
    return PairedOutcome(first, second, float(p_value))
