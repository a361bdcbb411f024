"""The choice of an image and an attack on it, for the pages that show what becomes of the image."""

from app.ui.attack_controls import AttackPlan, pick_attack
from app.ui.attack_link import link_state
from app.ui.image_picker import ChosenImage, pick_image
from app.ui.page import Page
from robust_core.checkpoints.catalog import CheckpointInfo


def pick_attacked_image(
    page: Page, info: CheckpointInfo, outcome: str
) -> tuple[ChosenImage, AttackPlan] | None:
    """Draw both choices and the button "Copy link"; None, with a hint, until both are made.

    Args:
        page: where to draw.
        info: the attacked checkpoint.
        outcome: what the page will show, with its verb, such as "the map appears".
    """
    with page.controls:
        image = pick_image(info)
        plan = None if image is None else pick_attack(info, image.label)
    if image is None or plan is None:
        page.stage.info(f"Choose an image and an attack on the left; {outcome} here.")
        return None
    page.copy_link(link_state(info, image, plan))
    return image, plan
