"""The guided tours: a prediction first, then the measurement."""

from collections.abc import Collection

import streamlit as st

from app.page.learn import measures
from app.page.learn.all_tours import TOURS
from app.page.learn.lesson import Scene, Step, Tour, models_of
from app.page.learn.measured import Measured
from app.page.learn.present import PRESENT, show_head
from app.page.learn.scenes import show_scene
from app.page.learn.work import Models, find_image
from app.ui.image_picker import ChosenImage
from app.ui.page import areas, input_errors
from app.ui.state import Choice, Number
from app.ui.units import count_words
from robust_core.data import data_source
from robust_core.errors import InputError

ANSWERS_KEY = "learn.answers"
MOST_STEPS = max(len(tour.steps) for tour in TOURS.values())


class _Tour(Choice):
    """The choice of a tour; a tour from a link starts at its first step."""

    def put(self, value: str) -> None:
        super().put(value)
        STEP.put(1)


class _Step(Number):
    """The number of a step, within the chosen tour."""

    def read(self, text: str) -> float:
        found = super().read(text)
        tour = TOURS[TOUR.value]
        if found > len(tour.steps):
            raise InputError(
                f"step should be at most {len(tour.steps)} in the tour {tour.title!r}, got {text}"
            )
        return found


TOUR = _Tour("tour", "learn.tour", {name: tour.title for name, tour in TOURS.items()})
STEP = _Step("step", "learn.step", 1, MOST_STEPS, 1)


def set_defaults() -> None:
    """Start with the first step of the first tour, and limit the step to the tour."""
    STEP.put(min(STEP.value, len(TOURS[TOUR.value].steps)))
    st.session_state.setdefault(ANSWERS_KEY, {})


def show_tours(catalogue: Models, hidden: Collection[str]) -> None:
    """Draw the list of tours and the current step.

    Args:
        catalogue: all checkpoints by name.
        hidden: names of controls that are not drawn.
    """
    set_defaults()
    if "tours" in hidden or PRESENT.value:
        _show_tour(catalogue, hidden)
        return
    choice, stage = areas([1, 3.2])
    with choice:
        st.radio(
            "Tour",
            list(TOURS),
            format_func=lambda name: TOURS[name].title,
            captions=[_progress(name) for name in TOURS],
            key=TOUR.key,
            persist_state="session",
            on_change=_go_to,
            args=(1,),
        )
    with stage:
        _show_tour(catalogue, hidden)


def _show_tour(catalogue: Models, hidden: Collection[str]) -> None:
    name, number = TOUR.value, STEP.value
    tour = _fitting(TOURS[name], catalogue)
    step, total = tour.steps[number - 1], len(tour.steps)
    if PRESENT.value:
        show_head(f"**{tour.title}** · step {number} of {total}")
    missing = [model for model in models_of(tour) if model not in catalogue]
    if missing:
        st.info(
            f"This tour needs the shipped {count_words(len(missing), 'model')} "
            f"{', '.join(missing)}: restore them in checkpoints/pretrained."
        )
        return
    if not PRESENT.value:
        st.caption(f"**{tour.title}** · {tour.summary} Step {number} of {total}.")
        st.progress(number / total)
        st.subheader(step.title, anchor=False)
        st.markdown(step.text)
    with input_errors():
        first = models_of(tour)[0] if step.image is None else step.scene.models[0]
        image = find_image(step.image or tour.image, catalogue, catalogue[first])
        show = _present_step if PRESENT.value else _show_step
        show(step, catalogue, image, (name, number), hidden)


def _fitting(tour: Tour, catalogue: Models) -> Tour:
    """Return the tour with the models that are better, where these and their images are here."""
    if tour.rather is None:
        return tour
    infos = [catalogue.get(name) for name in models_of(tour.rather)]
    here = all(info and data_source(info.config.data.name).is_available() for info in infos)
    return tour.rather if here else tour


def _show_step(
    step: Step,
    catalogue: Models,
    image: ChosenImage,
    place: tuple[str, int],
    hidden: Collection[str],
) -> None:
    answered = place in st.session_state[ANSWERS_KEY]
    above: Scene | None = step.scene if step.before is None else step.before

    def draw(scene: Scene) -> None:
        infos = [catalogue[name] for name in scene.models]
        show_scene(scene, infos, image, hidden)

    if step.before is None or not answered:
        draw(above)
    with st.container(border=True):
        if answered:
            _show_answer(step, measures.measure(step.measure, catalogue, image), place)
        else:
            _ask(step, place, hidden)
    _show_navigation(place)
    if step.before is not None and answered:
        draw(step.scene)


def _present_step(
    step: Step,
    catalogue: Models,
    image: ChosenImage,
    place: tuple[str, int],
    hidden: Collection[str],
) -> None:
    """Draw a step on one screen: the scene on the left, question or answer on the right."""
    answered = place in st.session_state[ANSWERS_KEY]
    scene = step.scene if answered or step.before is None else step.before
    with st.container(key="learn.present"):
        left, right = st.columns([1.35, 1], gap="small")
    with right.container(key="learn.question"):
        st.title(step.title, anchor=False)
        if answered:
            _show_answer(step, measures.measure(step.measure, catalogue, image), place)
        else:
            st.markdown(step.text)
            _ask(step, place, hidden)
        _show_navigation(place)
    with left.container(key="learn.scene"):
        infos = [catalogue[name] for name in scene.models]
        show_scene(scene, infos, image, hidden, pictures_first=True)


def _ask(step: Step, place: tuple[str, int], hidden: Collection[str]) -> None:
    """Draw the question; the button stores the prediction."""
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


def _show_navigation(place: tuple[str, int]) -> None:
    """Draw the buttons to the neighbouring steps and to predict again."""
    name, number = place
    last = len(TOURS[name].steps)
    answered = place in st.session_state[ANSWERS_KEY]

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
            type="primary" if answered else "secondary",
            icon=":material/arrow_forward:",
            icon_position="right",
            disabled=number == last or not answered,
            help=None if answered else "Predict first.",
            on_click=_go_to,
            args=(number + 1,),
            key="learn.next",
        )
        if answered:
            st.button("Predict again", icon=":material/replay:", on_click=forget, key="learn.again")
            if number == last:
                st.caption("This was the last step of the tour.", width="content")


def _go_to(number: int) -> None:
    STEP.put(number)


def _progress(name: str) -> str:
    answers = st.session_state[ANSWERS_KEY]
    total = len(TOURS[name].steps)
    done = sum((name, number) in answers for number in range(1, total + 1))
    return f"{total} steps" if done == 0 else f"{done} of {total} answered"
