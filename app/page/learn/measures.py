"""The measurements of the guided tours by name."""

from collections.abc import Callable

from app.page.learn import class_insights, counts, insights, retina_insights
from app.page.learn.lesson import Measure
from app.page.learn.measured import Measured
from app.page.learn.work import Models
from app.ui.image_picker import ChosenImage
from robust_core.checkpoints.catalog import CheckpointInfo


def measure(wanted: Measure, catalogue: Models, image: ChosenImage) -> Measured:
    """Return the measurement that answers a question.

    Args:
        wanted: what to measure.
        catalogue: checkpoints by name, including those of `wanted`.
        image: the image of the tour, for measurements on one image.

    Raises:
        InputError: a checkpoint or its data cannot be loaded.
        Superseded: the session has requested something else meanwhile.
    """
    infos = [catalogue[name] for name in wanted.models]
    return KINDS[wanted.kind](wanted, infos, image)


KINDS: dict[str, Callable[[Measure, list[CheckpointInfo], ChosenImage], Measured]] = {
    "clean_accuracy": counts.clean_accuracy,
    "accuracy": counts.accuracy,
    "clean_gap": counts.clean_gap,
    "accuracy_gap": counts.accuracy_gap,
    "attack_gap": counts.attack_gap,
    "surrogate_gap": counts.surrogate_gap,
    "same_surrogate_gap": counts.same_surrogate_gap,
    "confidence": insights.confidence,
    "zero_gradient": insights.zero_gradient,
    "raised_checks": insights.raised_checks,
    "alignment_gap": insights.alignment_gap,
    "morph_gap": insights.morph_gap,
    "kept_pixels": retina_insights.kept_pixels,
    "disagreement": retina_insights.disagreement,
    "drift": class_insights.drift,
    "overlap_gap": class_insights.overlap_gap,
    "detection": class_insights.detection,
    "top_share": class_insights.top_share,
    "agreement": class_insights.agreement,
    "similarity": class_insights.similarity,
}
