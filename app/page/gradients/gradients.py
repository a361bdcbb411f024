"""The gradients page: what a model's input gradient shows, and whether it points at the classes."""

from collections.abc import Sequence

import streamlit as st

from app.page.gradients.alignment import show_alignment
from app.page.gradients.attribution import show_attribution
from app.page.gradients.controls import is_denoiser, pick_models, pick_view
from app.page.gradients.link import gradients_page_link, link_state
from app.page.gradients.maps import show_classes, show_targets
from app.page.gradients.morph import show_morph
from app.page.gradients.synthesis import show_synthesis
from app.ui import cached
from app.ui.forms import show_input_error
from app.ui.image_picker import ChosenImage, pick_image
from app.ui.model_picker import in_order, pick_model
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError


def main() -> None:
    """Draw the page."""
    every = in_order(cached.checkpoints())
    infos = [info for info in every if not is_denoiser(info)]
    title, link_place = st.columns([6, 1], vertical_alignment="center")
    title.title("Gradients", anchor=False)
    if not infos:
        st.info(
            "There is no checkpoint yet: train a model on the page Train, then look at it here."
        )
        return
    link = gradients_page_link(infos)
    link.warn()
    controls, stage = st.columns([1, 3.2], gap="large")
    with controls:
        info = pick_model(infos)
        models = pick_models(info, infos)
        image = pick_image(info)
    with stage:
        if image is None:
            st.info("Choose an image on the left; its gradients appear here.")
            return
        try:
            _draw(pick_view(), models, every, image)
        except InputError as error:
            show_input_error(error)
        except cached.Superseded:
            st.stop()
    with link_place:
        link.button(link_state(models, image))


def _draw(
    view: str, models: Sequence[CheckpointInfo], every: Sequence[CheckpointInfo], image: ChosenImage
) -> None:
    match view:
        case "targets":
            show_targets(models, every, image)
        case "alignment":
            show_alignment(models[0], every)
        case "morph":
            show_morph(models, image)
        case "attribution":
            show_attribution(models, image)
        case "synthesis":
            show_synthesis(models, image)
        case _:
            show_classes(models, image)


main()
