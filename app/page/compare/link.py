"""The state of the page Compare in its address."""

from collections.abc import Sequence

from app.page.compare.transfer import SAMPLE_KEY, SIZES
from app.page.gradients.link import rivals_step
from app.ui.attack_controls import AttackPlan
from app.ui.attack_link import attack_steps
from app.ui.attack_link import link_state as attack_state
from app.ui.image_picker import ChosenImage
from app.ui.page_link import PageLink, one_of, part
from robust_core.checkpoints.catalog import CheckpointInfo

OWN_NAMES = ("with", "sample")


def link_state(
    models: Sequence[CheckpointInfo], image: ChosenImage, plan: AttackPlan, sample: str
) -> dict[str, str]:
    """Return the query parameters that lead back here; an uploaded picture is left out."""
    others = ",".join(info.name for info in models[1:])
    return attack_state(models[0], image, plan) | {"with": others, "sample": sample}


def compare_page_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page: that of the page Attack, further models and test images.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    steps = attack_steps(infos, OWN_NAMES)
    sample = part("sample", one_of("number of test images", SAMPLE_KEY, lambda: SIZES))
    return PageLink("compare", [*steps, rivals_step(infos), sample])
