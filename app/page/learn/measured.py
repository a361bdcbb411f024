"""The result of a tour's measurement, and the words for its models and images."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.ui.units import count_words
from app.ui.words import mode_words
from robust_core.checkpoints.catalog import CheckpointInfo


@dataclass(frozen=True)
class Measured:
    """A measured value, and its meaning, attack and images in Markdown."""

    value: float
    words: str


def model_name(info: CheckpointInfo) -> str:
    """Return the name of a checkpoint, with its inference mode if it has one."""
    if info.inference:
        return f"{info.name.partition(':')[0]} ({mode_words(info.inference)})"
    return info.name


def each_model(infos: Sequence[CheckpointInfo], numbers: Sequence[str]) -> str:
    """Return "digits-standard **42 %**, digits-pgd_at **85 %**"."""
    pairs = zip(infos, numbers, strict=True)
    return ", ".join(f"{model_name(info)} **{number}**" for info, number in pairs)


def sampled_images(number: int) -> str:
    """Return "a sample of 60 test images"."""
    return f"a sample of {count_words(number, 'test image')}"


def points(difference: float) -> str:
    """Return a difference of shares in percentage points: "3 points lower"."""
    number = round(100 * abs(difference))
    if number == 0:
        return "the same to within half a point"
    return f"{count_words(number, 'point')} {'higher' if difference > 0 else 'lower'}"
