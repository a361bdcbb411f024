"""The images misclassified under an attack, each with a link to the Attack page."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
import torch

from app.navigation import page_script
from app.page.robustness.reproduction import MOST_SECONDS, reproduce_attack, seeded_attack
from app.page.robustness.rows import Row, check_words
from app.ui import models
from app.ui.attack_link import attack_state
from app.ui.forms import has_form, show_input_error
from app.ui.image_picker import ChosenImage
from app.ui.open_in import OF_IMAGE, open_links, open_menu
from app.ui.pictures import shown_pixels
from app.ui.plain import in_markdown
from app.ui.units import count_words
from app.ui.words import distance_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation_runs import AttackResult, CheckpointResult, EvaluationResults

PER_PAGE = 18
WIDTH = 96  # pixels of a picture on the screen, about
CELL = 132


def choose_misclassified(rows: Sequence[Row], event: Mapping[str, Any], run_id: str) -> None:
    """Show the images of the table row that the user selected."""
    for place in event["selection"]["rows"]:
        if rows[place].label:
            st.session_state[_key(run_id)] = (rows[place].model, rows[place].label)


def show_misclassified(results: EvaluationResults, rows: Sequence[Row], run_id: str) -> None:
    """Draw the choice of an attack and the images that it broke.

    Args:
        results: of the evaluation.
        rows: of the table.
        run_id: the evaluation, for keys.
    """
    st.subheader("Misclassified images", anchor=False)
    words = {(row.model, row.label): f"{row.model} · {row.attack}" for row in rows if row.label}
    if not words:
        st.caption("They appear here after the first complete attack.")
        return
    key = _key(run_id)
    if st.session_state.get(key) not in words:
        broken = (
            (one.name, attack.label)
            for one in results.checkpoints
            for attack in one.attacks
            if len(one.fooled_by(attack.label))
        )
        st.session_state[key] = next(broken, next(iter(words)))
    model, label = st.selectbox(
        "Under attack", list(words), format_func=lambda one: words[one], key=key
    )
    result = next(one for one in results.checkpoints if one.name == model)
    attack = next(one for one in result.attacks if one.label == label)
    places = result.fooled_by(label).tolist()
    right = int(result.clean.clean_correct.sum())
    if not places:
        st.info(
            f"None of the {right:,} correctly classified images was broken. "
            f"Reliability checks: {check_words(attack)}."
        )
        return
    st.caption(f"{len(places):,} of {count_words(right, 'correctly classified image')} broken.")
    key = f"{key}.{model}.{label}"
    _gallery(result, attack, _page(places, key), results.plan.batch_size, key)


def _key(run_id: str) -> str:
    return f"robustness.misclassified.{run_id}"


def _page(places: list[int], key: str) -> list[int]:
    last = -(-len(places) // PER_PAGE)
    if last == 1:
        return places
    page = st.number_input(f"Page, 1 to {last}", 1, last, key=f"{key}.page", width=160)
    return places[(page - 1) * PER_PAGE : page * PER_PAGE]


def _gallery(
    result: CheckpointResult, attack: AttackResult, places: list[int], batch_size: int, key: str
) -> None:
    info = _unchanged(result)
    try:
        images = None if info is None else models.load_images(info, result.split)
    except InputError as error:
        show_input_error(error)
        images = None
    where: dict[int, int] = {}
    if images is None:
        st.info(
            "The model was changed or removed since, or evaluated on another data set than its "
            "own, so its images cannot be shown here."
        )
    else:
        where = {int(index): place for place, index in enumerate(images.index)}
    if info is not None:
        open_links(info)
    grid = st.container(horizontal=True)  # wraps, and reads in the order of the images
    for place in places:
        with grid.container(width=CELL, gap="small"):
            position = where.get(int(result.index[place]))
            name, outcome = result.image_id(place), _outcome(result, attack, place)
            if images is not None and info is not None and position is not None:
                _picture(images.x[position], outcome)
                image = ChosenImage(images.x[position], int(result.y[place]), name)
                _open(info, attack, image, place // batch_size, f"{key}.{place}")
                open_menu(info, name, key=f"{key}.{place}.open", pages=OF_IMAGE[1:])
            else:
                st.markdown(f"{in_markdown(name)}  \n{in_markdown(outcome)}")


def _unchanged(result: CheckpointResult) -> CheckpointInfo | None:
    """Return the checkpoint if it is still the evaluated one, on its own data set."""
    infos = {info.name: info for info in models.checkpoints()}
    info = infos.get(result.name)
    if info is None or (info.digest, info.config.data.name) != (result.digest, result.data):
        return None
    return info


def _picture(x: torch.Tensor, words: str) -> None:
    """Draw an image [C,H,W], enlarged by an integer with nearest neighbour."""
    scale = max(1, WIDTH // x.shape[2])
    pixels = shown_pixels(x.numpy(), scale)
    width = min(pixels.shape[1], WIDTH)
    st.image(pixels, width=width, output_format="PNG", caption=in_markdown(words), alt=words)


def _outcome(result: CheckpointResult, attack: AttackResult, place: int) -> str:
    names, report = result.class_names, attack.report
    assert report.attack is not None, "a report in a list of attacks has one"
    distance = distance_words(report.attack.norm, float(report.distance[place]))
    before, after = int(result.y[place]), int(report.attacked_prediction[place])
    return f"{names[before]} → {names[after]}, {distance}"


def _open(
    info: CheckpointInfo, attack: AttackResult, image: ChosenImage, batch: int, key: str
) -> None:
    """Draw the link to the Attack page, with a seed that breaks this image on its own, too."""
    exact, name = attack.report.attack, str(image.image_id)
    if exact is None or attack.choice.surrogate or not has_form(type(exact)):
        st.caption(in_markdown(name))
        return
    number = name.rpartition("/")[2]
    if not st.button(
        f"Attack {number}",
        icon=":material/bolt:",
        width="stretch",
        help=f"Opens {in_markdown(name)} with this attack on the Attack page.",
        key=key,
    ):
        return
    found = seeded_attack(exact, batch)
    try:
        if exact.passes() * models.seconds_per_pass(info) <= MOST_SECONDS:
            found = reproduce_attack(info, image, exact, batch)
    except InputError as error:
        show_input_error(error)
        return
    if found is None:
        st.info(
            "On this image alone the same attack fails: it succeeded with the random numbers of "
            "the whole batch, and none of the seeds tried here reproduces that."
        )
        return
    st.switch_page(page_script("attack"), query_params=attack_state(info, image, found))
