"""The state of the retina page in its address."""

from collections.abc import Sequence

from app.page.retina.network import has_retina
from app.page.retina.settings import SEED, fixate, fixation, setting_part
from app.ui.image_picker import image_part
from app.ui.model_picker import chosen_model, model_part
from app.ui.page_link import PageLink
from app.ui.state import Part
from robust_core.analysis.retina import ADJUSTABLE
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

Infos = Sequence[CheckpointInfo]


def retina_link(infos: Infos) -> PageLink:
    """Return the link of the page: model, image, fixation, sampling and seed.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    fixations = [_fixation_part(place, name, infos) for place, name in enumerate(("column", "row"))]
    settings = [_setting_part(name, infos) for name in ADJUSTABLE]
    shared = [model_part(infos, has_retina), image_part(infos, has_retina)]
    return PageLink("retina", [*shared, *fixations, *settings, SEED])


def _setting_part(name: str, infos: Infos) -> Part:
    """Return one sampling setting of the chosen model."""
    return Part(
        name,
        lambda text: setting_part(chosen_model(infos, has_retina), name).take(text),
        lambda: str(setting_part(chosen_model(infos, has_retina), name).value),
    )


def _fixation_part(place: int, name: str, infos: Infos) -> Part:
    """Return column or row of the fixation."""

    def take(text: str) -> None:
        info = chosen_model(infos, has_retina)
        size = info.image_shape[2 - place]
        if not (text.isascii() and text.isdigit() and int(text) < size):
            raise InputError(f"{name} should be a whole number in [0, {size - 1}], got {text!r}")
        column, row = (int(one) for one in fixation(info))
        fixate(info)(*((int(text), row) if place == 0 else (column, int(text))))

    return Part(name, take, lambda: str(fixation(chosen_model(infos, has_retina))[place]))
