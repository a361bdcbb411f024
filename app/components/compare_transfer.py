"""The transfer matrix: crafted on one model, tested on another; for one image and for many."""

import csv
import io
import time
from collections.abc import Sequence

import numpy as np
import streamlit as st

from app import cached, compare
from app import compare_plots as plots
from app.attack_trace import AttackTrace
from app.compare import Matrix
from app.components.attack_controls import AttackPlan
from app.components.gradients_controls import offer, seconds, short_name
from app.components.outcome import PLAIN_CHART
from app.units import count_words, duration_words, percent
from app.words import attack_words
from robust_core.attacks.base import Attack
from robust_core.training.checkpoint import CheckpointInfo

SIZES = ("16", "64", "256")
SAMPLE_KEY = "compare.sample"
PROGRESS_INTERVAL = 0.1  # seconds between two updates of the progress bar


def show_image_transfer(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Draw what each model makes of the image that was crafted on each other one."""
    check = cached.latest_only("compare.transfer").begin()
    found = compare.image_transfer(infos, traces, check=check)
    names, label = infos[0].class_names, traces[0].label
    models = [short_name(info) for info in infos]
    words = [
        [f"{names[int(cell.argmax())]} · {percent(float(cell.max()))}" for cell in row]
        for row in found
    ]
    st.plotly_chart(
        plots.transfer_map(found[:, :, label], words, models, f"P({names[label]})"),
        config=PLAIN_CHART,
        key="compare.transfer.image",
        alt="This image, crafted on one model and tested on another: " + _told(words, models),
    )
    st.caption(
        f"Written: the predicted class. Colour: the probability of {names[label]}, so a dark cell "
        "is an image that transfers. Diagonal: the attack that sees the model it is judged by."
    )


def show_sample_transfer(infos: Sequence[CheckpointInfo], plan: AttackPlan) -> None:
    """Draw the same matrix over test images, behind a button with its cost."""
    st.session_state.setdefault(SAMPLE_KEY, SIZES[0])
    size = st.segmented_control(
        "Test images", SIZES, key=SAMPLE_KEY, required=True, persist_state="session"
    )
    number = min(int(size), len(cached.load_images(infos[0])))
    attack = plan.attack
    matrix = compare.known_transfer(infos, attack, number)
    if matrix is None:
        passes = number * attack.passes() * len(infos)
        cost = seconds(infos, passes, min(number, compare.BATCH))
        pressed = st.button("Measure transfer", icon=":material/play_arrow:")
        st.caption(
            f"Cost: {passes * len(infos):,} forward-backward passes of one image, "
            f"{duration_words(cost)} by a measurement here."
        )
        if not pressed:
            st.info("Shows how many test images stay right, for every pair of models.")
            return
        matrix = _measure(infos, attack, number)
    _draw_sample(infos, attack, matrix, number)


def _measure(infos: Sequence[CheckpointInfo], attack: Attack, number: int) -> Matrix:
    check = cached.latest_only("compare").begin()
    place, shown = st.empty(), 0.0

    def report(share: float) -> None:
        nonlocal shown
        if time.perf_counter() - shown > PROGRESS_INTERVAL:
            shown = time.perf_counter()
            place.progress(min(share, 1.0), f"Crafts and tests: {share:.0%}")

    try:
        return compare.measure_transfer(infos, attack, number, check=check, on_share=report)
    finally:
        place.empty()


def _draw_sample(
    infos: Sequence[CheckpointInfo], attack: Attack, matrix: Matrix, number: int
) -> None:
    models = [short_name(info) for info in infos]
    shares = np.array([[cell.robust_accuracy for cell in row] for row in matrix], dtype=np.float32)
    words = [[percent(float(share)) for share in row] for row in shares]
    st.plotly_chart(
        plots.transfer_map(shares, words, models, "accuracy"),
        config=PLAIN_CHART,
        key="compare.transfer.sample",
        alt="Accuracy under attack, crafted on one model and tested on another: "
        + _told(words, models),
    )
    clean = ", ".join(
        f"{model} {percent(cell.clean_accuracy)}"
        for model, cell in zip(models, matrix[0], strict=True)
    )
    st.caption(
        f"Accuracy under {attack_words(attack.name, attack.model_dump(mode='json'))}, untargeted, "
        f"seed {attack.seed}, first {count_words(number, 'test image')}. Without an attack: "
        f"{clean}. The judge's own errors count as wrong; the rest was attacked."
    )
    _warn_of_masking(infos, matrix, models)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["crafted_on", "tested_on", "num_images", "clean_accuracy", "robust_accuracy"])
    for row, crafted_on in zip(matrix, infos, strict=True):
        for cell, judge in zip(row, infos, strict=True):
            writer.writerow(
                [crafted_on.name, judge.name, number, cell.clean_accuracy, cell.robust_accuracy]
            )
    offer(table.getvalue().encode(), None, "transfer", "csv")


def _warn_of_masking(
    infos: Sequence[CheckpointInfo], matrix: Matrix, models: Sequence[str]
) -> None:
    """Name the models that another model's images hurt clearly more than the attack on them."""
    for column in range(len(infos)):
        own = matrix[column][column].robust_accuracy
        best = min(range(len(infos)), key=lambda row: matrix[row][column].robust_accuracy)
        found = matrix[best][column]
        if found.robust_interval[1] < own:
            st.warning(
                f"{models[column]} is right on {percent(own)} under the attack on itself, but on "
                f"{percent(found.robust_accuracy)} of the images crafted on {models[best]} "
                "(95 % interval below): a sign of masked gradients.",
                icon=":material/visibility_off:",
            )


def _told(words: Sequence[Sequence[str]], models: Sequence[str]) -> str:
    return "; ".join(
        f"{row} on {column} {words[i][j]}"
        for i, row in enumerate(models)
        for j, column in enumerate(models)
    )
