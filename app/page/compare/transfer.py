"""The transfer matrix: crafted on one model, tested on another; for one image and for many."""

import csv
import io
from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.compare import charts, measure
from app.page.compare.measure import Matrix
from app.page.gradients.controls import offer, seconds, short_name
from app.page.hard_pairs.costly import Cost, after_button
from app.ui import cached
from app.ui.accuracy_charts import accuracy_figure
from app.ui.attack_controls import AttackPlan
from app.ui.outcome import PLAIN_CHART
from app.ui.units import count_words, percent
from app.ui.words import seeded_words
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace

SIZES = ("16", "64", "256")
SAMPLE_KEY = "compare.sample"


def sample_size(infos: Sequence[CheckpointInfo]) -> int:
    """Return how many test images are attacked: what is chosen, or all if there are fewer."""
    chosen = st.session_state.get(SAMPLE_KEY) or SIZES[0]
    return min(int(chosen), len(cached.load_images(infos[0])))


def show_image_transfer(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Draw what each model makes of the image that was crafted on each other one."""
    check = cached.latest_only("compare.transfer").begin()
    found = measure.image_transfer(infos, traces, check=check)
    names, label = infos[0].class_names, traces[0].label
    models = [short_name(info) for info in infos]
    words = [
        [f"{names[int(cell.argmax())]} · {percent(float(cell.max()))}" for cell in row]
        for row in found
    ]
    st.plotly_chart(
        charts.transfer_map(found[:, :, label], words, models, f"P({names[label]})"),
        config=PLAIN_CHART,
        key="compare.transfer.image",
        alt="This image, crafted on one model and tested on another: " + _told(words, models),
    )
    st.caption(
        f"Written: the predicted class. Colour: the probability of {names[label]}, so a dark cell "
        "is an image that transfers. Diagonal: the attack that sees the model it is judged by."
    )
    for column, (trace, model) in enumerate(zip(traces, models, strict=True)):
        fooling = [
            models[row] for row in range(len(models)) if int(found[row, column].argmax()) != label
        ]
        if fooling and trace.clean_prediction == trace.prediction == label:
            st.info(
                f"{model} withstands the attack on itself, but not the image crafted on "
                f"{' and '.join(fooling)}: its own gradient may be hiding the way.",
                icon=":material/visibility_off:",
            )


def show_sample_transfer(infos: Sequence[CheckpointInfo], plan: AttackPlan) -> None:
    """Draw the same matrix over test images, behind a button with its cost."""
    st.session_state.setdefault(SAMPLE_KEY, SIZES[0])
    st.segmented_control("How many", SIZES, key=SAMPLE_KEY, required=True, persist_state="session")
    number, attack = sample_size(infos), plan.attack
    matrix = measure.known_transfer(infos, attack, number)
    if matrix is None:
        passes = number * attack.passes() * len(infos)  # on each model
        matrix = after_button(
            "Measure transfer",
            "Shows how many test images stay right, for every pair of models.",
            "Crafts and tests",
            cost=Cost(passes * len(infos), seconds(infos, passes, min(number, measure.BATCH))),
            work=lambda check, report: measure.measure_transfer(
                infos, attack, number, check=check, on_share=report
            ),
        )
    if matrix is not None:
        _draw_sample(infos, attack, matrix, number)


def show_curves(infos: Sequence[CheckpointInfo], plan: AttackPlan) -> None:
    """Draw accuracy against the radius, a line for each model, behind a button with its cost."""
    number, attack = sample_size(infos), plan.attack
    curves = measure.known_curves(infos, attack, number)
    if curves is None:
        passes = number * attack.passes() * (1 if attack.minimum_norm else measure.BISECTIONS)
        curves = after_button(
            "Measure curves",
            f"Shows accuracy from no attack to twice the radius, {number} test images.",
            "Attacks with growing radius",
            cost=Cost(passes * len(infos), seconds(infos, passes, min(number, measure.BATCH))),
            work=lambda check, report: measure.measure_curves(
                infos, attack, number, check=check, on_share=report
            ),
        )
    if curves is None:
        return
    named = {short_name(info): curve for info, curve in zip(infos, curves, strict=True)}
    st.plotly_chart(
        accuracy_figure(named, charts.STYLES),
        config=PLAIN_CHART,
        key="compare.curves.epsilon",
        alt="Accuracy against the radius; at the largest: "
        + ", ".join(f"{name} {percent(curve.accuracies[-1])}" for name, curve in named.items()),
    )
    st.caption(
        f"{seeded_words(attack, exclude=['epsilon'])}, {attack.norm}, untargeted, a sample of "
        f"{count_words(number, 'test image')}; bars are 95 % intervals. An image that falls at a "
        "radius counts as fallen at every larger one."
    )
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["model", "epsilon", "num_images", "robust_accuracy"])
    for info, curve in zip(infos, curves, strict=True):
        for value, accuracy in zip(curve.values, curve.accuracies, strict=True):
            writer.writerow([info.name, value, number, accuracy])
    offer(table.getvalue().encode(), None, "curves", "csv")


def _draw_sample(
    infos: Sequence[CheckpointInfo], attack: Attack, matrix: Matrix, number: int
) -> None:
    models = [short_name(info) for info in infos]
    shares = np.array([[cell.robust_accuracy for cell in row] for row in matrix], dtype=np.float32)
    words = [[percent(float(share)) for share in row] for row in shares]
    st.plotly_chart(
        charts.transfer_map(shares, words, models, "accuracy"),
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
        f"Accuracy under {seeded_words(attack)}, untargeted, "
        f"a sample of {count_words(number, 'test image')}. Without an attack: "
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
