"""The hard pairs page: which class is taken for which, under attack and why."""

import streamlit as st

from app.page.hard_pairs import measure
from app.page.hard_pairs.confusion import show_confusion
from app.page.hard_pairs.controls import (
    CONFUSION,
    GRADIENT,
    LABELS,
    LOSS,
    MODELS,
    PAIRS,
    SIMILARITY,
    hard_pairs_link,
    link_state,
    pick_among,
    pick_plan,
    pick_view,
)
from app.page.hard_pairs.costly import Cost, run_button, with_progress
from app.page.hard_pairs.gradient import show_gradient
from app.page.hard_pairs.labels import show_labels
from app.page.hard_pairs.loss import show_loss
from app.page.hard_pairs.measure import NO_CLASS_WEIGHTS, Study, StudyPlan
from app.page.hard_pairs.models import show_models
from app.page.hard_pairs.similarity import show_pairs, show_similarity
from app.page.hard_pairs.summary import show_summary
from app.page.hard_pairs.targeted import show_targeted
from app.ui import cached
from app.ui.forms import show_input_error
from app.ui.model_picker import in_order, pick_model
from robust_core.analysis.confusion import Denominator
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

STORY = (
    "An attack does not err at random: it leads most images of a class to the few classes that "
    "resemble it. See which pairs are hard, and why."
)
EMPTY = (
    "Press **Run attack**: every image is attacked once, and the map of who is taken for whom "
    "appears here. Then click a cell to see its images."
)


def main() -> None:
    """Draw the page."""
    infos = in_order(cached.checkpoints())
    title, link_place = st.columns([6, 1], vertical_alignment="center")
    title.title("Hard pairs", anchor=False)
    st.markdown(STORY)
    if not infos:
        st.info("There is no checkpoint yet: train a model on the page Train, then look at it.")
        return
    link = hard_pairs_link(infos)
    link.warn()
    controls, stage = st.columns([1, 3.4], gap="large")
    try:
        with controls:
            info = pick_model(infos)
            plan = pick_plan(info)
            among = pick_among()
            pressed = plan is not None and _pressed(info, plan)
        with stage:
            view = pick_view()
            study = None if plan is None else _study(info, plan, pressed)
            if study is None:
                st.info(EMPTY, icon=":material/grid_on:")
            else:
                _draw(study, info, among, view)
    except InputError as error:
        with stage:
            show_input_error(error)
        return
    if plan is not None:
        with link_place:
            link.button(link_state(info, plan))


def _pressed(info: CheckpointInfo, plan: StudyPlan) -> bool:
    """Draw button and cost; return whether the attack is to run now."""
    model = cached.load_model(info)
    attack = plan.attack(model.stochastic)
    number = len(measure.images_of(info, plan))
    cost = Cost(number * attack.passes(), measure.seconds(info, attack, number))
    pressed = run_button("Run attack", cost, primary=True)
    if model.class_layer is None:
        st.caption(NO_CLASS_WEIGHTS)
    return pressed


def _study(info: CheckpointInfo, plan: StudyPlan, pressed: bool) -> Study | None:
    """Return the study of this plan; None if it is not known and was not asked for."""
    known = measure.known_study(info, plan)
    if known is not None or not pressed:
        return known
    return with_progress(
        lambda check, report: measure.run_study(info, plan, check=check, on_share=report),
        "Attacks every image",
    )


def _draw(study: Study, info: CheckpointInfo, among: Denominator, view: str) -> None:
    show_summary(study, info)
    if view == CONFUSION:
        show_confusion(study, info, among)
    elif view == PAIRS:
        show_pairs(study, info, among)
    elif view == LABELS:
        show_labels(study, info)
    elif view == SIMILARITY:
        show_similarity(study, info, among)
    elif view == GRADIENT:
        show_gradient(study, info, among)
    elif view == MODELS:
        show_models(study, info, among)
    elif view == LOSS:
        show_loss(study, info)
    else:
        show_targeted(study, info)


main()
