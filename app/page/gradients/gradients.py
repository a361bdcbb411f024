"""The page Gradients: input gradients, their alignment with the classes, and attributions."""

from collections.abc import Sequence

import streamlit as st

from app.page.gradients.alignment import show_alignment
from app.page.gradients.attribution import show_attribution
from app.page.gradients.controls import pick_view
from app.page.gradients.link import gradients_link
from app.page.gradients.maps import show_classes, show_targets
from app.page.gradients.morph import show_morph
from app.page.gradients.synthesis import show_synthesis
from app.ui import models
from app.ui.compared_models import pick_models
from app.ui.image_picker import ChosenImage, pick_image
from app.ui.model_picker import classifiers, in_order, pick_model
from app.ui.page import input_errors, open_page
from robust_core.checkpoints.catalog import CheckpointInfo


def main() -> None:
    """Draw the page."""
    every = in_order(models.checkpoints())
    infos = classifiers(every)
    page = open_page("Gradients", "", infos, gradients_link)
    if page is None:
        return
    with page.controls:
        info = pick_model(infos)
        compared = pick_models(info, infos)
        image = pick_image(info)
    with page.stage:
        if image is None:
            st.info("Choose an image on the left; its gradients appear here.")
            return
        with input_errors():
            _draw(pick_view(), compared, every, image)
    page.copy_link(image.in_address())


def _draw(
    view: str, infos: Sequence[CheckpointInfo], every: Sequence[CheckpointInfo], image: ChosenImage
) -> None:
    match view:
        case "targets":
            show_targets(infos, every, image)
        case "alignment":
            show_alignment(infos, every)
        case "morph":
            show_morph(infos, image)
        case "attribution":
            show_attribution(infos, image)
        case "synthesis":
            show_synthesis(infos, image)
        case _:
            show_classes(infos, image)


main()
