"""The transfer matrix of surrogate and evaluated models, for one image and for many."""

from collections.abc import Sequence

import streamlit as st

from app.page.compare import charts, measure
from app.page.compare.recipe import copy_transfer
from app.ui import models
from app.ui.accuracy_charts import accuracy_figure, last_accuracies
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download, table
from app.ui.plain import in_markdown
from app.ui.state import Choice
from app.ui.units import count_words, percent
from app.ui.words import seeded_words, short_name
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace
from robust_core.evaluation.transfer import TransferMatrix, fooled_by_others_alone

SIZES = ("16", "64", "256")
SAMPLE = Choice(
    "sample", "compare.sample", {size: size for size in SIZES}, kind="number of test images"
)


def sample_size(infos: Sequence[CheckpointInfo]) -> int:
    """Return the number of attacked test images: the chosen one, or all if there are fewer."""
    return min(int(SAMPLE.value), len(models.load_images(infos[0])))


def show_image_transfer(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Draw the prediction of each model for the adversarial image of each model."""
    found = measure.image_transfer(infos, traces)
    names, label = infos[0].class_names, traces[0].label
    titles = [short_name(info) for info in infos]
    words = [
        [f"{names[int(cell.argmax())]} · {percent(float(cell.max()))}" for cell in row]
        for row in found
    ]
    st.plotly_chart(
        charts.transfer_map(found[:, :, label].numpy(), words, titles, f"P({names[label]})"),
        config=PLAIN_CHART,
        key="compare.transfer.image",
        alt="Predictions for this image, surrogate on evaluated model: " + _listed(words, titles),
    )
    st.caption(
        f"Text: predicted class. Colour: probability of the label {in_markdown(names[label])}, "
        "so in a dark cell the adversarial image transfers. Diagonal: attack on the evaluated "
        "model itself."
    )
    for model, surrogates in fooled_by_others_alone(found, traces).items():
        fooling = " and ".join(titles[surrogate] for surrogate in surrogates)
        st.info(
            f"{in_markdown(titles[model])} resists the attack on itself, but is fooled by the "
            f"adversarial image of {in_markdown(fooling)}: its own gradient may be masked.",
            icon=":material/visibility_off:",
        )


def show_sample_transfer(infos: Sequence[CheckpointInfo], attack: Attack) -> None:
    """Draw the accuracy matrix over test images, behind a button with its cost."""
    SAMPLE.segmented("Number of images")
    number = sample_size(infos)
    matrix = measure.sample_transfer(infos, attack, number)
    if matrix is not None:
        _draw_sample(infos, attack, matrix, number)


def show_curves(infos: Sequence[CheckpointInfo], attack: Attack) -> None:
    """Draw accuracy against epsilon, one line per model, behind a button with its cost."""
    number = sample_size(infos)
    curves = measure.curves(infos, attack, number)
    if curves is None:
        return
    named = {short_name(info): curve for info, curve in zip(infos, curves, strict=True)}
    st.plotly_chart(
        accuracy_figure(named, charts.STYLES),
        config=PLAIN_CHART,
        key="compare.curves.epsilon",
        alt="Accuracy against epsilon; at the largest: " + last_accuracies(named),
    )
    st.caption(
        f"{seeded_words(attack, exclude=['epsilon'])}, {attack.norm}, untargeted, a sample of "
        f"{count_words(number, 'test image')}; bars are 95\u00a0% intervals. An image that is "
        "fooled at one epsilon counts as fooled at every larger one."
    )
    rows = [
        [info.name, value, number, accuracy]
        for info, curve in zip(infos, curves, strict=True)
        for value, accuracy in zip(curve.values, curve.accuracies, strict=True)
    ]
    head = ["model", "epsilon", "num_images", "robust_accuracy"]
    download("Numbers, CSV", lambda: table(head, rows), "curves.csv")


def _draw_sample(
    infos: Sequence[CheckpointInfo], attack: Attack, matrix: TransferMatrix, number: int
) -> None:
    titles = [short_name(info) for info in infos]
    shares = matrix.robust_accuracy
    words = [[percent(share) for share in row] for row in shares.tolist()]
    st.plotly_chart(
        charts.transfer_map(shares.numpy(), words, titles, "accuracy"),
        config=PLAIN_CHART,
        key="compare.transfer.sample",
        alt="Accuracy under attack, surrogate on evaluated model: " + _listed(words, titles),
    )
    clean = ", ".join(
        f"{model} {percent(share)}"
        for model, share in zip(titles, matrix.clean_accuracy.tolist(), strict=True)
    )
    st.caption(
        f"Accuracy under {seeded_words(attack)}, untargeted, "
        f"a sample of {count_words(number, 'test image')}. Clean accuracy: {in_markdown(clean)}. "
        "Images that "
        "the evaluated model misclassifies without an attack count as errors."
    )
    _warn_of_masking(matrix, titles)
    head = ["surrogate", "evaluated", "num_images", "clean_accuracy", "robust_accuracy"]
    rows = [
        [surrogate.name, evaluated.name, number, cell.clean_accuracy, cell.robust_accuracy]
        for row, surrogate in zip(matrix.reports, infos, strict=True)
        for cell, evaluated in zip(row, infos, strict=True)
    ]
    download("Numbers, CSV", lambda: table(head, rows), "transfer.csv")
    copy_transfer(infos, attack, number)


def _warn_of_masking(matrix: TransferMatrix, titles: Sequence[str]) -> None:
    """Name models with significantly lower accuracy under transfer than under their own attack."""
    shares = matrix.robust_accuracy.tolist()
    for model, surrogate in matrix.masked():
        st.warning(
            f"{in_markdown(titles[model])}: accuracy {percent(shares[model][model])} under the "
            "attack on "
            f"itself, but {percent(shares[surrogate][model])} with "
            f"{in_markdown(titles[surrogate])} as "
            "surrogate model (95\u00a0% interval below): a sign of masked gradients.",
            icon=":material/visibility_off:",
        )


def _listed(words: Sequence[Sequence[str]], titles: Sequence[str]) -> str:
    return "; ".join(
        f"{row} on {column} {words[i][j]}"
        for i, row in enumerate(titles)
        for j, column in enumerate(titles)
    )
