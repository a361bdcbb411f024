"""The page "Latent space": where the features of attacked images go."""

import time

import streamlit as st

from app.page.latent.details import show_details
from app.page.latent.link import latent_page_link, latent_state, pick_size, set_defaults
from app.page.latent.map import show_map
from app.page.latent.numbers import finding, show_numbers
from app.page.latent.survey import (
    ImagePath,
    Survey,
    image_path,
    known_survey,
    make_survey,
    surveyed_images,
)
from app.ui import cached
from app.ui.attack_controls import AttackPlan, pick_attack
from app.ui.forms import show_input_error
from app.ui.image_picker import ChosenImage, pick_image
from app.ui.model_picker import in_order, pick_model
from app.ui.units import duration_words
from robust_core.analysis.latent import FEWEST_PROJECTED
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

LIVE_SECONDS = 1.0  # surveys estimated below this are made at every change of a control
PROGRESS_INTERVAL = 0.1  # seconds between two updates of the progress bar
STORY = "An attack moves a picture by almost nothing. See how far it moves in the network's eyes."


def main() -> None:
    """Draw the page."""
    infos = in_order(cached.checkpoints())
    title, link_place = st.columns([6, 1], vertical_alignment="center")
    title.title("Latent space", anchor=False)
    st.markdown(STORY)
    if not infos:
        st.info("There is no checkpoint yet: train a model on the page Train, then map it here.")
        return
    set_defaults()
    link = latent_page_link(infos)
    link.warn()
    controls, stage = st.columns([1, 3.2], gap="large")
    with controls:
        info = pick_model(infos)
        image = pick_image(info)
        plan = None if image is None else pick_attack(info, image.label)
    if image is None or plan is None:
        stage.info("Choose an image and an attack on the left; the map appears here.")
        return
    with link_place:
        link.button(latent_state(info, image, plan))
    try:
        with controls:
            num_images, wanted = _wanted(info, plan)
        with stage:
            made = _survey(info, image, plan, num_images) if wanted else None
            if made is None:
                st.info("This map takes a while: press Map the features to start it.")
            else:
                _draw(info, plan, *made)
    except InputError as error:
        with stage:
            show_input_error(error)


def _wanted(info: CheckpointInfo, plan: AttackPlan) -> tuple[int, bool]:
    """Draw size, button and cost; return the size and whether the map is to be shown now."""
    num_images = pick_size()
    count = len(surveyed_images(info, plan.target, num_images))
    passes = plan.attack.passes()
    seconds = passes * count * cached.seconds_per_pass(info, 64)
    icon = ":material/scatter_plot:"
    pressed = st.button("Map the features", type="primary", icon=icon, width="stretch")
    live = seconds <= LIVE_SECONDS
    st.caption(
        f"Cost: {passes:,} {'pass' if passes == 1 else 'passes'} of {count} test images, "
        f"{duration_words(seconds)} by a measurement here. "
        + ("Runs at once when you move a control." if live else "Starts when you press the button.")
    )
    if count < FEWEST_PROJECTED:
        st.caption(f"A map needs at least {FEWEST_PROJECTED} images: only numbers will be shown.")
    known = known_survey(info, plan.attack, plan.target, num_images) is not None
    return num_images, live or pressed or known


def _survey(
    info: CheckpointInfo, image: ChosenImage, plan: AttackPlan, num_images: int
) -> tuple[Survey, ImagePath]:
    """Return the survey and the way of the chosen image."""
    check = cached.latest_only("latent").begin()
    place, total = st.empty(), plan.attack.passes()
    shown = time.perf_counter()

    def report(count: int) -> None:
        nonlocal shown
        if time.perf_counter() - shown > PROGRESS_INTERVAL:
            shown = time.perf_counter()
            place.progress(min(count / total, 1.0), f"Pass {count} of {total}")

    request = (info, plan.attack, plan.target, num_images)
    try:
        survey = make_survey(*request, check=check, on_progress=report)
        trace = cached.run_attack(info, image.x, image.label, plan.attack, plan.target, check=check)
        return survey, image_path(info, trace)
    except cached.Superseded:
        st.stop()
    finally:
        place.empty()


def _draw(info: CheckpointInfo, plan: AttackPlan, survey: Survey, path: ImagePath) -> None:
    """Draw the finding, the map with its numbers, and the details below."""
    st.markdown(finding(survey, plan.attack))
    pictures, numbers = st.columns([2, 1], gap="medium")
    with pictures:
        show_map(info, survey, path, plan.attack.seed)
    with numbers:
        show_numbers(survey, info)
    st.divider()
    show_details(info, survey, plan.attack)


main()
