"""What the numbers of a card have shown of a model, so that no page says more; no streamlit."""

from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation_runs.subjects import masks_gradients

MOST_IMAGES = 0.5


def shown_robust(info: CheckpointInfo) -> bool:
    """Return whether a card has shown that most images withstand what was tried on them.

    The lowest number for this use of the network counts, with its 95 % interval above one half; a
    model that hides its gradient has shown nothing. The name of a method shows nothing either.
    """
    results = [one for one in info.card["robust"] if one["inference"] == info.inference]
    if not results or masks_gradients(info):
        return False
    lowest = min(results, key=lambda one: one["accuracy"])
    return lowest["interval"][0] > MOST_IMAGES


def clean_result(info: CheckpointInfo) -> tuple[int, int] | None:
    """Return how many images a card counts as right without an attack, of how many.

    None where it has no number for this use of the network.
    """
    card = info.card
    if not info.inference:
        return round(card["clean_accuracy"] * card["num_images"]), card["num_images"]
    own = [one for one in card["robust"] if one["inference"] == info.inference]
    if not own or own[0]["clean_accuracy"] is None:
        return None
    return round(own[0]["clean_accuracy"] * own[0]["num_images"]), own[0]["num_images"]
