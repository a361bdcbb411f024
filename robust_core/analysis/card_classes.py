"""Accuracy class by class of what a card holds image by image; nothing is measured."""

import torch
from torch import Tensor

from robust_core.analysis.confusion import ClassAccuracy, class_accuracy
from robust_core.checkpoints.card import Card, RobustResult
from robust_core.data import ImageSet


def card_class_accuracy(card: Card, result: RobustResult, images: ImageSet) -> ClassAccuracy | None:
    """Return the accuracy of each class under the attack of one of a card's results.

    Args:
        card: of a checkpoint.
        result: one of its results.
        images: the split that the card was measured on, in the order of the data set.

    Returns:
        The accuracy [K], NaN where a class is not in the sample; None of an older card, which does
        not say it image by image, and where the split has fewer images than it was measured on.
    """
    ordered = images.in_sample_order() if card.sample == "stratified" else images
    if not result.correct or len(result.correct) > len(ordered):
        return None
    y = ordered.y[: len(result.correct)]
    right = y[result.measured.correct]
    return class_accuracy(_counts(right, images), _counts(y, images))


def _counts(y: Tensor, images: ImageSet) -> Tensor:
    return torch.bincount(y, minlength=images.num_classes)
