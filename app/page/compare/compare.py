"""The compare page: one image, one attack, two to four models side by side."""

from collections.abc import Sequence

import streamlit as st

from app.page.compare.link import compare_page_link, link_state
from app.page.compare.player import show_downloads, show_player, show_verdicts
from app.page.compare.transfer import (
    SAMPLE_KEY,
    SIZES,
    show_curves,
    show_image_transfer,
    show_sample_transfer,
)
from app.page.gradients.controls import is_denoiser, pick_models, seconds, wanted
from app.ui import cached
from app.ui.attack_controls import AttackPlan, pick_attack
from app.ui.forms import show_input_error
from app.ui.image_picker import ChosenImage, pick_image
from app.ui.model_picker import in_order, pick_model
from app.ui.outcome import CAUTION
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation.trace import AttackTrace

STORY = (
    "The same image, the same attack, several models: who gives in, and does what fools one "
    "fool the others?"
)


def main() -> None:
    """Draw the page."""
    infos = [info for info in in_order(cached.checkpoints()) if not is_denoiser(info)]
    title, link_place = st.columns([6, 1], vertical_alignment="center")
    title.title("Compare", anchor=False)
    st.markdown(STORY)
    if not infos:
        st.info("There is no checkpoint yet: train two models on the page Train, then return here.")
        return
    link = compare_page_link(infos)
    link.warn()
    controls, stage = st.columns([1, 3.2], gap="large")
    with controls:
        info = pick_model(infos)
        models = pick_models(info, infos)
        image = pick_image(info)
        plan = None if image is None else pick_attack(info, image.label)
    if image is None or plan is None:
        stage.info("Choose an image and an attack on the left; the comparison appears here.")
        return
    with link_place:
        sample = st.session_state.get(SAMPLE_KEY, SIZES[0])
        link.button(link_state(models, image, plan, sample))
    if len(models) < 2:
        stage.info("Choose at least one more model under “Compared with”.")
        return
    try:
        with controls:
            cost = seconds(models, plan.attack.passes())
            run = wanted("Run attack on all", cost, "compare.run")
        with stage:
            _compare(models, image, plan, run)
    except InputError as error:
        with stage:
            show_input_error(error)
    except cached.Superseded:
        st.stop()


def _compare(
    models: Sequence[CheckpointInfo], image: ChosenImage, plan: AttackPlan, run: bool
) -> None:
    """Draw verdicts, player and transfer matrices."""
    traces = _traces(models, image, plan, run)
    if traces is None:
        st.info("This attack takes a while: press Run attack on all to start it.")
        return
    show_verdicts(models, traces)
    show_player(models, traces)
    show_downloads(models, traces)
    st.caption(CAUTION)
    st.divider()
    st.subheader("Does it transfer?", anchor=False)
    one, many = st.columns(2, gap="large")
    with one:
        st.markdown("**This image**")
        show_image_transfer(models, traces)
    with many:
        st.markdown("**Test images**")
        show_sample_transfer(models, plan)
    if plan.attack.name != "spatial":  # which has no radius
        st.subheader("Accuracy against the radius", anchor=False)
        show_curves(models, plan)


def _traces(
    models: Sequence[CheckpointInfo], image: ChosenImage, plan: AttackPlan, run: bool
) -> list[AttackTrace] | None:
    """Return the recorded attack on each model; None if it is costly and was not asked for."""
    requests = [(info, image.x, image.label, plan.attack, plan.target) for info in models]
    if not run:
        known = [cached.known_trace(*request) for request in requests]
        found = [trace for trace in known if trace is not None]
        return found if len(found) == len(models) else None
    check = cached.latest_only("compare").begin()
    place = st.empty()
    traces = []
    for number, request in enumerate(requests):
        place.progress(number / len(models), f"Model {number + 1} of {len(models)}")
        traces.append(cached.run_attack(*request, check=check))
    place.empty()
    return traces


main()
