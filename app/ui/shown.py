"""Statements about a model that are supported by its card; knows no streamlit."""

from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation_runs.subjects import masks_gradients

ROBUST_ABOVE = 0.5  # robust accuracy


def shown_robust(info: CheckpointInfo) -> bool:
    """Return whether the card supports calling a model robust.

    The 95 % interval of the lowest robust accuracy of this inference mode must lie above one half,
    and gradients must not be masked. The name of the training method does not count.
    """
    results = info.card.results_of(info.inference)
    if not results or masks_gradients(info):
        return False
    lowest = min(results, key=lambda one: one.accuracy)
    return lowest.interval[0] > ROBUST_ABOVE


def clean_result(info: CheckpointInfo) -> tuple[int, int] | None:
    """Return the number of correctly classified clean images on the card, and of all images.

    None if the card has no clean accuracy for this inference mode.
    """
    card = info.card
    if not info.inference:
        return round(card.clean_accuracy * card.num_images), card.num_images
    own = card.results_of(info.inference)
    if not own or own[0].clean_accuracy is None:
        return None
    return round(own[0].clean_accuracy * own[0].num_images), own[0].num_images
