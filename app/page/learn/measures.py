"""What the reveals of the guided tours compute, each with the words that say what it rests on."""

from collections.abc import Callable

from app.page.learn import counts, insights
from app.page.learn.lesson import Measure
from app.page.learn.work import Measured, Shelf
from app.ui.image_picker import ChosenImage
from robust_core.checkpoints.catalog import CheckpointInfo


def measure(wanted: Measure, shelf: Shelf, image: ChosenImage) -> Measured:
    """Return the number that answers a question.

    Args:
        wanted: what to compute.
        shelf: the checkpoints by name, those of `wanted` among them.
        image: the image of the tour, for measurements on one image.

    Raises:
        InputError: a checkpoint or its data cannot be loaded.
        Superseded: the session asked for something else meanwhile.
    """
    infos = [shelf[name] for name in wanted.models]
    return KINDS[wanted.kind](wanted, infos, image)


KINDS: dict[str, Callable[[Measure, list[CheckpointInfo], ChosenImage], Measured]] = {
    "clean_accuracy": counts.clean_accuracy,
    "accuracy": counts.accuracy,
    "clean_gap": counts.clean_gap,
    "accuracy_gap": counts.accuracy_gap,
    "attack_gap": counts.attack_gap,
    "source_gap": counts.source_gap,
    "same_source_gap": counts.same_source_gap,
    "confidence": insights.confidence,
    "zero_gradient": insights.zero_gradient,
    "alarms": insights.alarms,
    "alignment_gap": insights.alignment_gap,
    "morph_gap": insights.morph_gap,
    "kept": insights.kept,
    "indecision": insights.indecision,
    "drift": insights.drift,
    "overlap_gap": insights.overlap_gap,
    "detection": insights.detection,
    "top_share": insights.top_share,
    "agreement": insights.agreement,
    "similarity": insights.similarity,
}
