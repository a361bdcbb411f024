"""Has a classifier learnt anything? Chance level, and the classes that it predicts at all."""

import torch
from torch import Tensor

from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation.lowest import wilson_interval

FEWEST_JUDGED = 10  # images; fewer may miss classes by chance
ENOUGH = 30  # images of which a single predicted class is no chance
COVERED = 0.5  # share of the classes; a model that predicts no more than this has a finding


def chance_level(y: Tensor) -> float:
    """Return the accuracy of always saying the most frequent class: its share in labels [N].

    1 / K where every class has as many images; the best that can be had without a look at them.

    Raises:
        InputError: no label.
    """
    if len(y) == 0:
        raise InputError("a chance level needs at least one label, got none")
    return float(y.unique(return_counts=True)[1].max()) / len(y)


def is_at_chance(num_correct: int, num_images: int, chance: float) -> bool:
    """Return whether an accuracy cannot be told from chance, or lies below it.

    So it is where the 95 % Wilson interval of the accuracy does not lie above `chance`.

    Args:
        num_correct: images that are right without an attack.
        num_images: N, at least 1.
        chance: as of `chance_level`, in [0, 1].
    """
    return wilson_interval(num_correct, num_images)[0] <= chance


def chance_sentence(num_correct: int, num_images: int, chance: float) -> str:
    """Return one sentence where an accuracy is at chance, and "" where it is above it.

    Args:
        num_correct: images that are right without an attack.
        num_images: N, at least 1.
        chance: as of `chance_level`, in [0, 1].
    """
    if not is_at_chance(num_correct, num_images, chance):
        return ""
    low, high = (100 * bound for bound in wilson_interval(num_correct, num_images))
    return (
        f"This model cannot be told from a guess: without any attack it is right on {num_correct} "
        f"of {num_images:,} images (95 % interval {low:.0f} to {high:.0f} %), and always saying "
        f"the most frequent class would be right on {100 * chance:.0f} %."
    )


def judge_predictions(prediction: Tensor, y: Tensor) -> Finding:
    """Return the finding on how many of the classes of the images a model ever predicts.

    A constant classifier that saw images of its own class alone would be called perfect.

    Args:
        prediction: classes predicted without an attack [N].
        y: labels [N].

    Raises:
        InputError: not one prediction for each label, or no label.
    """
    if prediction.shape != y.shape or len(y) == 0:
        raise InputError(
            f"predictions and labels must be as many, at least one, got {list(prediction.shape)} "
            f"and {list(y.shape)}"
        )
    present = y.unique()
    found = int(torch.isin(present, prediction).sum())
    share = found / len(present)
    words = (
        f"The model predicts {found} of the {len(present)} classes that these {len(y):,} images "
        "are of."
    )
    few = len(present) > 1 and len(y) >= FEWEST_JUDGED and share <= COVERED
    if not few:
        return Finding("predictions", Severity.OK, 1.0 - share, 1.0 - COVERED, words)
    fail = found <= 1 and len(y) >= ENOUGH
    return Finding(
        "predictions",
        Severity.FAIL if fail else Severity.WARN,
        1.0 - share,
        1.0 - COVERED,
        words,
        "Train longer or with another learning rate, and look at the labels.",
    )


def learning_warning(prediction: Tensor, y: Tensor) -> str:
    """Return what is to be said of a model at chance or that predicts few classes, or "".

    Args:
        prediction: classes predicted without an attack [N].
        y: labels [N].

    Raises:
        InputError: as of `judge_predictions`.
    """
    covered = judge_predictions(prediction, y)
    sentences = [chance_sentence(int((prediction == y).sum()), len(y), chance_level(y))]
    if covered.severity is not Severity.OK:
        sentences.append(covered.sentence)
    return " ".join(filter(None, sentences))
