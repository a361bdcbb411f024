"""The attack page: one image, one model, one attack, step by step."""

import streamlit as st

from app.page.attack.reliability_panel import show_reliability
from app.page.attack.surface_panel import show_surface
from app.ui import measure, models, outcome
from app.ui.attack_controls import is_large
from app.ui.attack_link import attack_link
from app.ui.attacked_image import pick_attacked_image
from app.ui.copy_recipe import copy_recipe
from app.ui.model_picker import in_order, photographs_first, pick_model
from app.ui.page import input_errors, open_page
from app.ui.recipes import trace_recipe
from app.ui.traces import attack_image, known_trace
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace

PHOTOGRAPH_SECONDS = 8.0  # of an attack that begins at once; whoever moves a control ends it
STORY = "Change an image so slightly that you hardly see it, and watch how the prediction changes."


def main() -> None:
    """Draw the page."""
    infos = in_order(models.checkpoints())
    if not st.query_params:  # a link without a model means the first one of the list
        infos = photographs_first(infos)
    page = open_page("Attack", STORY, infos, lambda infos: attack_link("attack", infos))
    if page is None:
        return
    with page.controls:
        info = pick_model(infos)
    picked = pick_attacked_image(page, info, "the pictures appear")
    if picked is None:
        return
    image, plan = picked
    with input_errors(page.stage):
        with page.controls:
            cost = measure.cost_of([info], plan.attack.passes())
            wanted = measure.ask(
                "Run attack",
                cost,
                key="attack",
                live_seconds=PHOTOGRAPH_SECONDS if is_large(info) else measure.LIVE_SECONDS,
                always=True,
                width="stretch",
            )
        with page.stage:
            request = (info, image.x, image.label, plan.attack, plan.target)
            trace = attack_image(*request) if wanted else known_trace(*request)
            if trace is None:
                st.info("This attack takes a while: press Run attack to start it.")
            else:
                _draw(trace, info, image.image_id)


def _draw(trace: AttackTrace, info: CheckpointInfo, image_id: str | None) -> None:
    """Draw pictures in the centre, numbers on the right, checks and threat model below."""
    pictures, numbers = st.columns([2.2, 1], gap="medium")
    with pictures:
        outcome.show_outcome(trace, info)
        outcome.show_player(trace, info)
    with numbers:
        outcome.show_numbers(trace, info)
    st.divider()
    checks, facts = st.columns([1.5, 1], gap="large")
    with facts:
        outcome.show_permissions(trace, info)
        outcome.show_survival(trace, info)
        outcome.show_downloads(trace)
        if image_id is not None:
            _copy(trace, info, image_id)
    with checks:  # last: nothing on the page waits for the checks
        show_reliability(trace, info)
        show_surface(trace, info)


def _copy(trace: AttackTrace, info: CheckpointInfo, image_id: str) -> None:
    """Offer the lines that make the result again."""
    _, split, index = image_id.rsplit("/", 2)
    position = models.load_images(info, split).index.tolist().index(int(index))
    found = trace_recipe(info, image_id, position, trace.attack, trace.target)
    copy_recipe(found, key="attack.recipe")


main()
