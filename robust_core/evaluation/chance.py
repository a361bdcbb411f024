"""Has a classifier learnt anything? Chance level and predicted classes."""

import torch
from torch import Tensor

from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation.lowest import wilson_interval
from robust_core.units import percent, percent_range

FEWEST_IMAGES = 10  # fewer may miss classes by chance
ENOUGH = 30  # images, for which a single predicted class cannot be chance
COVERED = 0.5  # share of the classes; a model that predicts no more gets a warning


def chance_level(y: Tensor) -> float:
    """Return the accuracy of always predicting the most frequent class of labels [N].

    1 / K for balanced classes: the highest accuracy possible without using the images.

    Raises:
        InputError: no label.
    """
    if len(y) == 0:
        raise InputError("a chance level needs at least one label, got none")
    return float(y.unique(return_counts=True)[1].max()) / len(y)


def is_at_chance(num_correct: int, num_images: int, chance: float) -> bool:
    """Return whether the 95 % Wilson interval of an accuracy does not lie above `chance`.

    Args:
        num_correct: correct images without an attack.
        num_images: N, at least 1.
        chance: as of `chance_level`, in [0, 1].
    """
    return wilson_interval(num_correct, num_images)[0] <= chance


def chance_sentence(num_correct: int, num_images: int, chance: float) -> str:
    """Return one sentence if an accuracy is at chance, and "" if it is above.

    Args:
        num_correct: correct images without an attack.
        num_images: N, at least 1.
        chance: as of `chance_level`, in [0, 1].
    """
    if not is_at_chance(num_correct, num_images, chance):
        return ""
    interval = percent_range(wilson_interval(num_correct, num_images))
    return (
        f"This model is at chance level: without an attack it classifies {num_correct} of "
        f"{num_images:,} images correctly (95\u00a0% interval {interval}); "
        f"always predicting the most frequent class would be correct on {percent(chance)}."
    )


def class_coverage(prediction: Tensor, y: Tensor) -> Finding:
    """Return the finding on how many of the classes of the images a model predicts at all.

    Args:
        prediction: classes predicted without an attack [N].
        y: labels [N].

    Raises:
        InputError: not one prediction for each label, or no label.
    """
    if prediction.shape != y.shape or len(y) == 0:
        raise InputError(
            f"predictions and labels must have the same shape [N], N at least 1, got "
            f"{list(prediction.shape)} and {list(y.shape)}"
        )
    present = y.unique()
    found = int(torch.isin(present, prediction).sum())
    share = found / len(present)
    words = f"The model predicts {found} of the {len(present)} classes of these {len(y):,} images."
    few = len(present) > 1 and len(y) >= FEWEST_IMAGES and share <= COVERED
    if not few:
        return Finding("predictions", Severity.OK, 1.0 - share, 1.0 - COVERED, words)
    fail = found <= 1 and len(y) >= ENOUGH
    return Finding(
        "predictions",
        Severity.FAIL if fail else Severity.WARN,
        1.0 - share,
        1.0 - COVERED,
        words,
        "Train longer or with another learning rate, and check the labels.",
    )


def learning_warning(prediction: Tensor, y: Tensor) -> str:
    """Return the warning on a model at chance level or with few predicted classes, or "".

    Args:
        prediction: classes predicted without an attack [N].
        y: labels [N].

    Raises:
        InputError: as of `class_coverage`.
    """
    covered = class_coverage(prediction, y)
    sentences = [chance_sentence(int((prediction == y).sum()), len(y), chance_level(y))]
    if covered.severity is not Severity.OK:
        sentences.append(covered.sentence)
    return " ".join(filter(None, sentences))
