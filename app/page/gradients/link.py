"""The state of the page Gradients in its address."""

from collections.abc import Sequence

from app.page.gradients.controls import VIEW
from app.page.gradients.maps import DISPLAY, KIND, SCORE
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
    return PageLink("gradients", [*shared, VIEW, SCORE, DISPLAY, KIND, EPSILON, TASK, SEED])
