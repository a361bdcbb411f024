"""The page Compare: one image, one attack, two to four models side by side."""

from collections.abc import Sequence

import streamlit as st

from app.page.compare.outcome import show_downloads, show_outcomes
from app.page.compare.transfer import (
    SAMPLE,
    show_curves,
    show_image_transfer,
    show_sample_transfer,
)
from app.ui import models
from app.ui.attack_controls import AttackPlan
from app.ui.attack_link import attack_link
from app.ui.attacked_image import pick_attacked_image
from app.ui.compared_models import compared_part, pick_models
from app.ui.image_picker import ChosenImage
from app.ui.measure import ask, cost_of
from app.ui.model_picker import classifiers, in_order, pick_model
from app.ui.outcome import CAUTION, show_players
from app.ui.page import input_errors, open_page
from app.ui.page_link import PageLink
from app.ui.traces import attack_image, known_trace
from robust_core.checkpoints.catalog import CheckpointInfo

STORY = (
    "One image, one attack, several models: which of them are fooled, and do their adversarial "
    "examples transfer?"
)


def main() -> None:
    """Draw the page."""
    infos = classifiers(in_order(models.checkpoints()))
    page = open_page("Compare", STORY, infos, compare_link)
    if page is None:
        return
    with page.controls:
        info = pick_model(infos)
        compared = pick_models(info, infos)
    picked = pick_attacked_image(page, info, "the comparison appears")
    if picked is None:
        return
    image, plan = picked
    if len(compared) < 2:
        page.stage.info("Choose at least one more model under “Compared with”.")
        return
    with input_errors(page.stage):
        with page.controls:
            cost = cost_of(compared, plan.attack.passes())
            wanted = ask("Run attack on all", cost, key="compare", width="stretch")
        with page.stage:
            _compare(compared, image, plan, wanted)


def compare_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page: that of the page Attack, other models, number of images."""
    return attack_link("compare", infos, [compared_part(infos), SAMPLE])


def _compare(
    infos: Sequence[CheckpointInfo], image: ChosenImage, plan: AttackPlan, wanted: bool
) -> None:
    """Draw outcomes, player, transfer matrices and accuracy curves."""
    requests = [(info, image.x, image.label, plan.attack, plan.target) for info in infos]
    found = [attack_image(*one) if wanted else known_trace(*one) for one in requests]
    traces = [trace for trace in found if trace is not None]
    if len(traces) < len(infos):
        st.info("This attack takes a while: press Run attack on all to start it.")
        return
    show_outcomes(infos, traces)
    show_players(infos, traces)
    show_downloads(infos, traces)
    st.caption(CAUTION)
    st.divider()
    st.subheader("Transferability", anchor=False)
    one, many = st.columns(2, gap="large")
    with one:
        st.markdown("**This image**")
        show_image_transfer(infos, traces)
    with many:
        st.markdown("**Test images**")
        show_sample_transfer(infos, plan.attack)
    if plan.attack.name != "spatial":  # which has no epsilon
        st.subheader("Accuracy against epsilon", anchor=False)
        show_curves(infos, plan.attack)


main()
