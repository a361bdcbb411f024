"""The confusion matrices of the page Hard pairs, the images of a cell, and class accuracies."""

import streamlit as st
import torch

from app.navigation import page_script
from app.page.hard_pairs import map_charts
from app.page.hard_pairs.charts import class_bars
from app.page.hard_pairs.controls import AMONG, cell_keys
from app.ui.attack_link import attack_state
from app.ui.downloads import download, table
from app.ui.image_picker import ChosenImage
from app.ui.open_in import open_menu
from app.ui.pictures import png, shown_pixels
from app.ui.plain import in_markdown
from app.ui.units import count_words, percent
from robust_core.analysis.confusion import Confusion, Denominator, hard_pairs
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.checkpoints.catalog import CheckpointInfo

ATTACKED, CLEAN, DIFFERENCE = "Under attack", "Clean", "Difference"
MAPS = (ATTACKED, CLEAN, DIFFERENCE)
WIDTH = 96  # of a picture on the screen, in pixels, at most
CELL = 124  # of a picture with its menu
PER_PAGE = 9


def show_confusion(run: ConfusionRun, info: CheckpointInfo, among: Denominator) -> None:
    """Draw the confusion matrix, the images of the chosen cell, and the accuracy of each class."""
    found = run.confusion()
    _choose_first(run, info, found)
    left, right = st.columns([1.2, 1], gap="medium")
    with left:
        _show_map(found, info, among)
    with right:
        _show_cell(run, info)
    st.subheader("Accuracy per class", anchor=False)
    _show_classes(found, info)
    _show_download(run)


def _choose_first(run: ConfusionRun, info: CheckpointInfo, found: Confusion) -> None:
    """Select the largest confusion at first, within the row of the chosen class if there is one."""
    label_key, predicted_key = cell_keys(info)
    if st.session_state.get(predicted_key) in range(info.num_classes):
        st.session_state.setdefault(label_key, 0)
        return
    counts = found.attacked.clone().fill_diagonal_(-1)
    label = st.session_state.get(label_key)
    if label is None:
        label = int(counts.max(dim=1).values.argmax())
    st.session_state[label_key] = label
    st.session_state[predicted_key] = int(counts[label].argmax())


def _show_map(found: Confusion, info: CheckpointInfo, among: Denominator) -> None:
    shown = st.segmented_control(
        "Confusion matrix",
        MAPS,
        default=ATTACKED,
        key="hard_pairs.map",
        required=True,
        persist_state="session",
        help="Under attack: R, the predictions for adversarial images. Clean: C, the predictions "
        "for clean images. Difference: R - C.",
    )
    matrices = {
        ATTACKED: (found.attacked_shares(among), found.attacked),
        CLEAN: (found.clean_shares(among), found.clean),
        DIFFERENCE: (found.difference(among), None),
    }
    shares, counts = matrices[str(shown)]
    if among == "clean_correct":
        correct = found.clean.diag().diag()
        counts = {ATTACKED: found.attacked_correct, CLEAN: correct}.get(str(shown))
    signed, names = shown == DIFFERENCE, info.class_names
    keys = cell_keys(info)
    chart = map_charts.confusion_map(
        shares.numpy(),
        None if counts is None else counts.numpy(),
        names,
        signed=signed,
        chosen=(st.session_state[keys[0]], st.session_state[keys[1]]),
        # one scale for both, so that they can be compared
        high=None if signed else map_charts.largest_error(found.attacked_shares(among).numpy()),
    )
    chart_key = f"hard_pairs.chart.{info.config.data.name}"

    def clicked() -> None:
        cells = st.session_state[chart_key]["selection"].get(map_charts.SELECTION) or []
        if cells:
            for name, key in zip(("label", "predicted"), keys, strict=True):
                st.session_state[key] = names.index(cells[-1][name])

    st.altair_chart(
        chart,
        key=chart_key,
        on_select=clicked,
        selection_mode=map_charts.SELECTION,
        alt=_alt(shares),
    )
    st.caption(
        f"Per cent of the class in the row ({AMONG[among]}); click a cell to see its images. The "
        "diagonal (correct predictions) is grey, so that the errors stand out."
    )
    download(
        "Confusion matrix, PNG",
        lambda: png(map_charts.map_pixels(shares.numpy(), signed=signed)),
        "confusion.png",
    )


def _alt(shares: torch.Tensor) -> str:
    strongest = hard_pairs(shares.clamp(min=0), 1)
    if not strongest:
        return "Confusion matrix without errors."
    return (
        f"Confusion matrix; the hardest pair has a mean share of {percent(strongest[0].strength)}."
    )


def _show_cell(run: ConfusionRun, info: CheckpointInfo) -> None:
    names = info.class_names
    one, other = st.columns(2)
    keys = cell_keys(info)
    label, predicted = (
        column.selectbox(
            title,
            range(info.num_classes),
            format_func=lambda k: names[k],
            key=key,
            persist_state="session",
        )
        for column, title, key in zip((one, other), ("Labelled", "Predicted"), keys, strict=True)
    )
    places = run.cell(label, predicted).tolist()
    correct = int((run.correct & (run.images.y == label)).sum())
    in_cell = int(run.correct[places].sum())
    same = label == predicted
    verb = "stay correct" if same else f"are predicted as {in_markdown(names[predicted])}"
    st.markdown(
        f"**{in_cell} of {count_words(correct, 'correctly classified image')}** of "
        f"{in_markdown(names[label])} "
        f"{verb} under attack."
        + (
            f" {len(places) - in_cell} more here are misclassified without an attack, too."
            if len(places) > in_cell
            else ""
        )
    )
    if not places:
        st.info("There is no image in this cell: choose another one.", icon=":material/grid_on:")
        return
    last = -(-len(places) // PER_PAGE)
    page = 1
    if last > 1:
        page = st.number_input("Page", 1, last, 1, key=f"hard_pairs.page.{label}.{predicted}")
    grid = st.container(horizontal=True, gap="small")
    for place in places[(page - 1) * PER_PAGE : page * PER_PAGE]:
        with grid.container(width=CELL, gap="small"):
            _show_image(run, info, place)


def _show_image(run: ConfusionRun, info: CheckpointInfo, place: int) -> None:
    images, names = run.images, info.class_names
    x, label = images.x[place], int(images.y[place])
    scale = max(1, WIDTH // x.shape[2])
    pixels = shown_pixels(x.numpy(), scale)
    before, after = int(run.prediction[place]), int(run.attacked[place])
    words = f"{names[before]} → {names[after]}"
    st.image(
        pixels,
        width=min(pixels.shape[1], WIDTH),
        output_format="PNG",
        alt=f"{names[label]}, predicted as {names[before]}, under attack as {names[after]}",
    )
    image = ChosenImage(x, label, images.image_id(place))
    state = attack_state(info, image, run.attack)
    st.page_link(
        page_script("attack"),
        label=in_markdown(words),
        icon=":material/bolt:",
        width="stretch",
        help=f"Open {in_markdown(str(image.image_id))} with this attack on the page Attack.",
        query_params=state,
    )
    open_menu(info, image.image_id, key=f"hard_pairs.open.{place}", attack=state)


def _show_classes(found: Confusion, info: CheckpointInfo) -> None:
    clean, robust = found.clean_accuracy(), found.robust_accuracy()
    worst, names = robust.worst, info.class_names
    mean = float(found.attacked_correct.diag().sum() / found.clean.sum())
    low = float(robust.accuracy[worst])
    st.markdown(
        f"Robust accuracy is **{percent(mean)}** over all images, but only **{percent(low)}** for "
        f"class **{in_markdown(names[worst])}**, the worst of {info.num_classes}."
        if low < mean
        else f"All classes have the same robust accuracy: **{percent(mean)}**."
    )
    st.plotly_chart(
        class_bars(clean.accuracy.numpy(), robust.accuracy.numpy(), worst, names),
        key="hard_pairs.classes",
        alt=f"Accuracy of each class; the worst robust accuracy is {percent(low)}, of "
        f"{names[worst]}.",
    )


def _show_download(run: ConfusionRun) -> None:
    images, rows = run.images, []
    names = images.class_names
    for place in range(len(images)):
        classes = (images.y[place], run.prediction[place], run.attacked[place])
        rows.append([images.image_id(place), *(names[int(k)] for k in classes)])
    head = ["image", "labelled", "predicted", "predicted under attack"]
    download("All images, CSV", lambda: table(head, rows), "hard_pairs.csv")
