"""The guided tours: predict first, then see what the computer measures."""

from collections.abc import Collection

import streamlit as st

from app.page.learn import measures
from app.page.learn.all_tours import TOURS
from app.page.learn.lesson import Scene, Step, models_of
from app.page.learn.scenes import show_scene
from app.page.learn.work import Measured, Shelf, find_image
from app.ui import cached
from app.ui.forms import show_input_error
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words
from robust_core.errors import InputError

TOUR_KEY, STEP_KEY, ANSWERS_KEY = "learn.tour", "learn.step", "learn.answers"


def set_defaults() -> None:
    """Begin with the first tour at its first step, and keep the step within the tour."""
    if st.session_state.get(TOUR_KEY) not in TOURS:
        st.session_state[TOUR_KEY] = next(iter(TOURS))
    last = len(TOURS[st.session_state[TOUR_KEY]].steps)
    st.session_state[STEP_KEY] = min(max(st.session_state.get(STEP_KEY, 1), 1), last)
    st.session_state.setdefault(ANSWERS_KEY, {})


def show_tours(shelf: Shelf, hidden: Collection[str]) -> None:
    """Draw the list of tours and the current step.

    Args:
        shelf: all checkpoints by name.
        hidden: names of controls that are not drawn.
    """
    set_defaults()
    if "tours" in hidden:
        _show_tour(shelf, hidden)
        return
    choice, stage = st.columns([1, 3.2], gap="large")
    with choice:
        st.radio(
            "Tour",
            list(TOURS),
            format_func=lambda name: TOURS[name].title,
            captions=[_progress(name) for name in TOURS],
            key=TOUR_KEY,
            persist_state="session",
            on_change=_go_to,
            args=(1,),
        )
    with stage:
        _show_tour(shelf, hidden)


def _show_tour(shelf: Shelf, hidden: Collection[str]) -> None:
    name, number = st.session_state[TOUR_KEY], st.session_state[STEP_KEY]
    tour = TOURS[name]
    missing = [model for model in models_of(tour) if model not in shelf]
    if missing:
        st.info(
            f"This tour needs the shipped {count_words(len(missing), 'model')} "
            f"{', '.join(missing)}: bring them back to checkpoints/pretrained."
        )
        return
    step = tour.steps[number - 1]
    st.caption(f"**{tour.title}** · {tour.summary} Step {number} of {len(tour.steps)}.")
    st.progress(number / len(tour.steps))
    st.subheader(step.title, anchor=False)
    st.markdown(step.text)
    try:
        first = shelf[models_of(tour)[0]]
        with st.spinner("Looking for an image …"):
            image = find_image(tour.image, shelf, first)
        _show_step(step, shelf, image, (name, number), hidden)
    except InputError as error:
        show_input_error(error)
    except cached.Superseded:
        st.stop()


def _show_step(
    step: Step, shelf: Shelf, image: ChosenImage, place: tuple[str, int], hidden: Collection[str]
) -> None:
    answered = place in st.session_state[ANSWERS_KEY]
    above: Scene | None = step.scene if step.before is None else step.before

    def draw(scene: Scene) -> None:
        infos = [shelf[name] for name in scene.models]
        show_scene(scene, infos, image, hidden)

    if step.before is None or not answered:
        draw(above)
    with st.container(border=True):
        if answered:
            with st.spinner("Measuring …"):
                found = measures.measure(step.measure, shelf, image)
            _show_answer(step, found, place)
        else:
            _ask(step, place, hidden)
    _show_way(place)
    if step.before is not None and answered:
        draw(step.scene)


def _ask(step: Step, place: tuple[str, int], hidden: Collection[str]) -> None:
    """Draw the question; a prediction is noted when the button is pressed."""
    st.markdown("**Predict first**")
    chosen = st.radio(
        step.question,
        range(len(step.options)),
        index=None,
        format_func=lambda number: step.options[number].words,
        key=f"learn.choice.{place[0]}.{place[1]}",
    )

    def reveal() -> None:
        st.session_state[ANSWERS_KEY][place] = chosen

    strict = "skip" in hidden
    st.button(
        "Show what happens" if chosen is not None or strict else "I cannot tell: show me",
        type="primary",
        icon=":material/visibility:",
        disabled=strict and chosen is None,
        on_click=reveal,
        key="learn.reveal",
    )


def _show_answer(step: Step, found: Measured, place: tuple[str, int]) -> None:
    chosen = st.session_state[ANSWERS_KEY][place]
    right = next(k for k, option in enumerate(step.options) if option.fits(found.value))
    st.markdown(f"**{step.question}**")
    if chosen is None:
        st.info(f"Measured: {step.options[right].words}.", icon=":material/straighten:")
    elif chosen == right:
        st.success(
            f"You predicted it: {step.options[right].words}.", icon=":material/check_circle:"
        )
    else:
        st.warning(
            f"You predicted: {step.options[chosen].words}. Measured: {step.options[right].words}.",
            icon=":material/lightbulb:",
        )
    st.markdown(found.words)
    st.markdown(f":material/school:&ensp;{step.lesson}")


def _show_way(place: tuple[str, int]) -> None:
    """Draw the buttons to the neighbouring steps and to predict once more."""
    name, number = place
    last = len(TOURS[name].steps)

    def forget() -> None:
        st.session_state[ANSWERS_KEY].pop(place, None)

    with st.container(horizontal=True):
        st.button(
            "Back",
            icon=":material/arrow_back:",
            disabled=number == 1,
            on_click=_go_to,
            args=(number - 1,),
            key="learn.back",
        )
        st.button(
            "Next",
            type="primary" if place in st.session_state[ANSWERS_KEY] else "secondary",
            icon=":material/arrow_forward:",
            icon_position="right",
            disabled=number == last,
            on_click=_go_to,
            args=(number + 1,),
            key="learn.next",
        )
        if place in st.session_state[ANSWERS_KEY]:
            st.button("Predict again", icon=":material/replay:", on_click=forget, key="learn.again")
            if number == last:
                st.caption("This was the last step of the tour.", width="content")


def _go_to(number: int) -> None:
    st.session_state[STEP_KEY] = number


def _progress(name: str) -> str:
    answers = st.session_state[ANSWERS_KEY]
    total = len(TOURS[name].steps)
    done = sum((name, number) in answers for number in range(1, total + 1))
    return f"{total} steps" if done == 0 else f"{done} of {total} answered"
