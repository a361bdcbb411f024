"""The page Latent space: how an attack changes the features of images."""

import streamlit as st

from app.page.latent.details import show_details
from app.page.latent.first_look import first_look_words, pick_sample
from app.page.latent.link import IMAGES, latent_link
from app.page.latent.map import show_map
from app.page.latent.measure import (
    KeptPath,
    KeptSample,
    image_path,
    make_sample,
)
from app.page.latent.numbers import show_numbers, summary
from app.page.latent.recipe import copy_sample
from app.ui import models
from app.ui.attack_controls import AttackPlan
from app.ui.attacked_image import pick_attacked_image
from app.ui.model_picker import in_order, pick_model
from app.ui.page import input_errors, open_page
from app.ui.traces import attack_image
from robust_core.checkpoints.catalog import CheckpointInfo

STORY = "An attack hardly changes the pixels of an image. See how far it moves its features."


def main() -> None:
    """Draw the page."""
    infos = in_order(models.checkpoints())
    page = open_page("Latent space", STORY, infos, latent_link)
    if page is None:
        return
    with page.controls:
        info = pick_model(infos)
    picked = pick_attacked_image(page, info, "the map appears")
    if picked is None:
        return
    image, plan = picked
    with input_errors(page.stage):
        reason = models.load_model(info).why_no_features
        if reason:
            page.stage.info(f"This network has no features that could be mapped: {reason}.")
            return
        with page.controls:
            wanted = pick_sample(info, plan)
        with page.stage:
            if wanted is None:
                st.info("This attack takes a while: press Map the features to start it.")
                return
            seen, num_images = wanted
            if wanted != (plan, IMAGES.value):
                st.info(first_look_words(plan, seen, num_images), icon=":material/preview:")
            sample = make_sample(info, seen.attack, seen.target, num_images)
            trace = attack_image(info, image.x, image.label, seen.attack, seen.target)
            _draw(info, seen, num_images, sample, image_path(info, trace))


def _draw(
    info: CheckpointInfo, plan: AttackPlan, num_images: int, sample: KeptSample, path: KeptPath
) -> None:
    """Draw the summary, the map with its numbers, and the tabs below."""
    st.markdown(summary(sample, plan.attack))
    pictures, numbers = st.columns([2, 1], gap="medium")
    with pictures:
        show_map(info, sample, path, plan.attack.seed)
    with numbers:
        show_numbers(sample, info)
    copy_sample(info, plan.attack, plan.target, num_images)
    st.divider()
    show_details(info, sample, plan.attack)


main()
