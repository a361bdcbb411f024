"""The lowest accuracy that anything has found: attacks, their checks, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

from robust_core.evaluation.check_text import reasons
from robust_core.evaluation.finding import Finding, Severity, outcome_of_checks, overall
from robust_core.units import percent, percent_range

FEWEST_IMAGES = 20  # on fewer, a share is mostly chance
LARGE_GAP = 0.1  # of an accuracy, beyond which what was reported is not real
MOST_REASONS = 2  # in one sentence


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share: Wilson, JASA 22 (1927)."""
    interval = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def share_words(accuracy: float, interval: tuple[float, float]) -> str:
    """Return a share with its interval: "40.0 % (95 % interval 30.9 to 49.8 %)"."""
    return f"{percent(accuracy, 1)} (95\u00a0% interval {percent_range(interval, 1)})"


@dataclass(frozen=True)
class Measured:
    """One number: an attack on the first N images of a common order.

    Attributes:
        label: the attack in words.
        correct: bool [N], correct without an attack and under this one.
        findings: of the checks of this number; empty: not checked.
        checked_correct: bool [M], correct under every attack of these checks; None: not checked.
    """

    label: str
    correct: Tensor
    findings: tuple[Finding, ...] = ()
    checked_correct: Tensor | None = None


@dataclass(frozen=True)
class LowestKnown:
    """The lowest known accuracy, on the first N images of those that were evaluated.

    Attributes:
        correct: bool [N], correct under everything that was tried on the image.
        by: the attack, or the attack whose checks, found the most alone.
        finding: the check that found the most alone; None where it was the attack itself.
        findings: of the checks of the number of `by`; empty: not checked.
    """

    correct: Tensor
    by: str
    finding: Finding | None
    findings: tuple[Finding, ...]

    @property
    def num_images(self) -> int:
        """N."""
        return len(self.correct)

    @property
    def accuracy(self) -> float:
        """The share of images that are correct under everything, in [0, 1]."""
        return int(self.correct.sum()) / self.num_images

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the accuracy."""
        return wilson_interval(int(self.correct.sum()), self.num_images)

    @property
    def checks(self) -> str:
        """What the checks of this number say: "pass", "fail: black box", or "not checked"."""
        return outcome_of_checks(self.findings)

    @property
    def confirmed(self) -> bool:
        """Whether the number was checked, no check fails, and no check found less than it."""
        checked = bool(self.findings) and overall(self.findings) is not Severity.FAIL
        return checked and self.finding is None

    @property
    def words(self) -> str:
        """The number, whose it is, and on how many images."""
        cause = f", {self.finding.cause}" if self.finding is not None and self.finding.cause else ""
        number = share_words(self.accuracy, self.interval)
        return f"at most {number}{cause}; worst case of {self.num_images} images"


def verdict(reported: float, lowest: LowestKnown, findings: Sequence[Finding] = ()) -> str:
    """Return what a reported accuracy is worth, in one or two words.

    "Not robust" if nobody claims more than a tenth; "Not real" if a check of it fails, or if the
    lowest is below it by more than 10 points and with its whole interval; "Overstated" if it is by
    less; "Not checked" if nothing was checked; else "Holds so far". The limits are our own.

    Args:
        reported: accuracy in [0, 1].
        lowest: the lowest that is known for the same model and threat model.
        findings: of the checks of the reported accuracy; empty: not checked.
    """
    if reported <= LARGE_GAP:
        return "Not robust"
    lower = lowest.interval[1] < reported
    if overall(findings) is Severity.FAIL or (lower and reported - lowest.accuracy > LARGE_GAP):
        return "Not real"
    if lower:
        return "Overstated"
    return "Holds so far" if findings or lowest.findings else "Not checked"


def headline(
    reported: float,
    lowest: LowestKnown,
    findings: Sequence[Finding] = (),
    *,
    running: bool = False,
) -> str:
    """Return what a reported accuracy is worth, and why: the one sentence of every page.

    "Not real: 99 % as reported, at most 38 % under BPDA-50, because an attack without gradients
    fools the model (checks of the lowest number: pass)".

    Args:
        reported: accuracy in [0, 1].
        lowest: the lowest that is known for the same model and threat model.
        findings: of the checks of the reported accuracy; empty: not checked.
        running: whether more attacks or checks are still to come.
    """
    finding = lowest.finding
    cause = f" {finding.cause}" if finding is not None and finding.cause else f" under {lowest.by}"
    words = verdict(reported, lowest, findings)
    if running and "so far" not in words:
        words += " so far"
    words += f": {percent(reported)} as reported"
    if lowest.accuracy < reported - 0.005:
        words += f", at most {percent(lowest.accuracy)}{cause}"
    why = reasons([one for one in findings if one.severity is Severity.FAIL])[:MOST_REASONS]
    if why:
        words += f", because {' and '.join(why)}"
    return f"{words} (checks of the lowest number: {lowest.checks})"


def lowest_known(measured: Sequence[Measured]) -> LowestKnown:
    """Return the lowest accuracy over attacks, their checks and their images.

    All numbers are about the beginning of one order of images. On the first N of them, an image
    counts as correct if nothing that was tried on it has broken it; the N of all numbers and checks
    are tried, and the lowest accuracy is returned (of equal ones that on more images). N below 20
    counts only where there is nothing else.

    Args:
        measured: at least one number.
    """
    masks = [one.correct for one in measured]
    masks += [one.checked_correct for one in measured if one.checked_correct is not None]
    sizes = {len(mask) for mask in masks}
    enough = {size for size in sizes if size >= FEWEST_IMAGES} or {max(sizes)}
    unions = [_worst_case(masks, size) for size in enough]
    correct = min(unions, key=lambda mask: (int(mask.sum()) / len(mask), -len(mask)))
    size = len(correct)
    best = min(measured, key=lambda one: (_left(one.correct, size), -len(one.correct)))
    checked = [one for one in measured if one.checked_correct is not None]
    finding = None
    if checked:
        deepest = min(checked, key=lambda one: _left(one.checked_correct, size))
        if _left(deepest.checked_correct, size) < _left(best.correct, size):
            best = deepest
            finding = min(
                (one for one in best.findings if one.accuracy is not None),
                key=lambda one: 1.0 if one.accuracy is None else one.accuracy,
                default=None,
            )
    return LowestKnown(correct, best.label, finding, best.findings)


def _worst_case(masks: Sequence[Tensor], size: int) -> Tensor:
    """Return which of the first `size` images every mask that covers them calls correct."""
    correct = torch.ones(size, dtype=torch.bool)
    for mask in masks:
        part = min(len(mask), size)
        correct[:part] &= mask[:part].cpu()
    return correct


def _left(mask: Tensor | None, size: int) -> float:
    """Return the share that a mask leaves of the first `size` images, as far as it covers them."""
    return 1.0 if mask is None else int(mask[:size].sum()) / min(len(mask), size)
