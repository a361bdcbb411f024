"""The attack page: one image, one model, one attack, step by step."""

import time

import streamlit as st

from app.page.attack.honesty_panel import show_honesty
from app.page.attack.surface_panel import show_surface
from app.ui import cached, outcome
from app.ui.attack_controls import AttackPlan, pick_attack
from app.ui.attack_link import attack_page_link, link_state
from app.ui.forms import show_input_error
from app.ui.image_picker import ChosenImage, pick_image
from app.ui.model_picker import in_order, pick_model
from app.ui.units import count_words, duration_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation.trace import AttackTrace

LIVE_SECONDS = 1.0  # attacks estimated below this run at every change of a control
PROGRESS_INTERVAL = 0.1  # seconds between two updates of the progress bar
STORY = "Change an image so little that you hardly see it, and watch what the model makes of it."


def main() -> None:
    """Draw the page."""
    infos = in_order(cached.checkpoints())
    title, link_place = st.columns([6, 1], vertical_alignment="center")
    title.title("Attack", anchor=False)
    st.markdown(STORY)
    if not infos:
        st.info("There is no checkpoint yet: train a model on the page Train, then attack it here.")
        return
    link = attack_page_link(infos)
    link.warn()
    controls, stage = st.columns([1, 3.2], gap="large")
    with controls:
        info = pick_model(infos)
        image = pick_image(info)
        plan = None if image is None else pick_attack(info, image.label)
    if image is None or plan is None:
        stage.info("Choose an image and an attack on the left; the pictures appear here.")
        return
    with link_place:
        link.button(link_state(info, image, plan))
    try:
        with controls:
            wanted = _wanted(info, plan)
        with stage:
            trace = _trace(info, image, plan, wanted)
            if trace is None:
                st.info("This attack takes a while: press Run attack to start it.")
            else:
                _draw(trace, info)
    except InputError as error:
        with stage:
            show_input_error(error)


def _draw(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Draw pictures in the centre, numbers on the right and the explanation below."""
    pictures, numbers = st.columns([2.2, 1], gap="medium")
    with pictures:
        outcome.show_verdict(trace, info)
        outcome.show_player(trace, info)
    with numbers:
        outcome.show_numbers(trace, info)
    st.divider()
    doubts, facts = st.columns([1.5, 1], gap="large")
    with facts:
        outcome.show_permissions(trace, info)
        outcome.show_survival(trace, info)
        outcome.show_downloads(trace)
    with doubts:  # last: nothing on the page waits for the checks
        show_honesty(trace, info)
        show_surface(trace, info)


def _wanted(info: CheckpointInfo, plan: AttackPlan) -> bool:
    """Draw button and cost; return whether the attack is to run now."""
    passes = plan.attack.passes()
    seconds = passes * cached.seconds_per_pass(info)
    pressed = st.button("Run attack", type="primary", icon=":material/bolt:", width="stretch")
    live = seconds <= LIVE_SECONDS
    st.caption(
        f"Cost: {count_words(passes, 'forward-backward pass')}, "
        f"{duration_words(seconds)} by a measurement here. "
        + ("Runs at once when you move a control." if live else "Starts when you press the button.")
    )
    return live or pressed


def _trace(
    info: CheckpointInfo, image: ChosenImage, plan: AttackPlan, wanted: bool
) -> AttackTrace | None:
    """Return the recorded attack; None if it is costly and was not asked for."""
    request = (info, image.x, image.label, plan.attack, plan.target)
    if not wanted:
        return cached.known_trace(*request)
    check = cached.latest_only("attack").begin()
    place, started = st.empty(), time.perf_counter()
    total = plan.attack.passes()
    shown = started

    def report(count: int) -> None:
        nonlocal shown
        if time.perf_counter() - shown > PROGRESS_INTERVAL:
            shown = time.perf_counter()
            place.progress(min(count / total, 1.0), f"Step {count} of {total}")

    try:
        return cached.run_attack(*request, check=check, on_progress=report)
    except cached.Superseded:
        st.stop()
    finally:
        place.empty()


main()
