"""The page Hard pairs: which classes are confused under attack, and why."""

import streamlit as st

from app.page.hard_pairs import measure
from app.page.hard_pairs.card import show_card
from app.page.hard_pairs.controls import (
    hard_pairs_link,
    pick_among,
    pick_plan,
    pick_view,
    plan_state,
)
from app.page.hard_pairs.measure import NO_CLASS_WEIGHTS
from app.page.hard_pairs.recipe import confusion_recipe
from app.page.hard_pairs.views import show_view
from app.ui import models
from app.ui.copy_recipe import copy_recipe
from app.ui.measure import ask
from app.ui.model_picker import in_order, pick_model
from app.ui.page import input_errors, open_page
from robust_core.analysis.confusion_run import ConfusionPlan, ConfusionRun
from robust_core.checkpoints.catalog import CheckpointInfo

STORY = (
    "Errors under attack are not random: the misclassified images of a class are mostly predicted "
    "as a few similar classes. See which pairs are hard, and why."
)
EMPTY = (
    "This model is too slow for a first look. Press **Run attack** to attack every image once and "
    "to see the confusion matrix. Then click a cell to see its images."
)
FIRST_LOOK = "A first look at {few} of {all} images. Press **Run attack** to attack all of them."


def main() -> None:
    """Draw the page."""
    infos = in_order(models.checkpoints())
    page = open_page("Hard pairs", STORY, infos, hard_pairs_link)
    if page is None:
        return
    with input_errors(page.stage):
        with page.controls:
            info = pick_model(infos)
            plan = pick_plan(info)
            among = pick_among()
            pressed = plan is not None and _pressed(info, plan)
        with page.stage:
            view = pick_view()
            run = None if plan is None else _found(info, plan, pressed=pressed)
            if run is None:
                st.info(EMPTY, icon=":material/grid_on:")
                show_card(info)
            else:
                show_view(run, info, among, view)
                copy_recipe(confusion_recipe(info, run.plan), key="hard_pairs.recipe")
        if plan is not None:
            page.copy_link(plan_state(plan))


def _found(info: CheckpointInfo, plan: ConfusionPlan, *, pressed: bool) -> ConfusionRun | None:
    """Return the run of a plan, or a first look, which says that it is one; None without any."""
    run = measure.run_confusion(info, plan) if pressed else measure.known_run(info, plan)
    if run is not None:
        return run
    run = measure.first_look(info, plan)
    if run is not None and run.plan != plan:
        every = len(plan.images_of(models.load_images(info)))
        st.info(FIRST_LOOK.format(few=len(run.images), all=every), icon=":material/preview:")
    return run


def _pressed(info: CheckpointInfo, plan: ConfusionPlan) -> bool:
    """Draw button and cost; return whether the attack should run now."""
    pressed = ask(
        "Run attack", measure.cost(info, plan), key="hard_pairs", live_seconds=0.0, width="stretch"
    )
    if models.load_model(info).class_layer is None:
        st.caption(NO_CLASS_WEIGHTS)
    return pressed


main()
