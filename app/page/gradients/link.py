"""The state of the page Gradients in its address."""

from collections.abc import Sequence

from app.page.gradients.alignment import SAMPLE
from app.page.gradients.controls import VIEW
from app.page.gradients.maps import DISPLAY, KIND, SCALE, SCORE
from app.page.gradients.morph import EPSILON
from app.page.gradients.synthesis import SEED, TASK
from app.ui.compared_models import compared_part
from app.ui.image_picker import image_part
from app.ui.model_picker import model_part
from app.ui.page_link import PageLink
from robust_core.checkpoints.catalog import CheckpointInfo


def gradients_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    shared = [model_part(infos), image_part(infos), compared_part(infos)]
    settings = [VIEW, SCORE, DISPLAY, SCALE, KIND, SAMPLE, EPSILON, TASK, SEED]
    return PageLink("gradients", [*shared, *settings])
