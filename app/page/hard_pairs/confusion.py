"""The maps of the page Hard pairs, the images of a cell, and the accuracy of every class."""

import csv
import io

import numpy as np
import streamlit as st
import torch

from app.navigation import page_script
from app.page.hard_pairs import map_charts
from app.page.hard_pairs.charts import class_bars
from app.page.hard_pairs.controls import AMONG, cell_keys
from app.page.hard_pairs.measure import Study
from app.ui.attack_controls import AttackPlan
from app.ui.attack_link import link_state
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words, percent
from robust_core.analysis.confusion import Confusion, Denominator, hard_pairs
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data.images import encode_png

ATTACKED, CLEAN, DIFFERENCE = "Under attack", "Clean", "Difference"
MAPS = (ATTACKED, CLEAN, DIFFERENCE)
WIDTH = 96  # pixels of a picture on the screen, about
CELL = 104
PER_PAGE = 9


def show_confusion(study: Study, info: CheckpointInfo, among: Denominator) -> None:
    """Draw the map, the images of the chosen cell, and the accuracy class by class."""
    found = study.confusion()
    _choose_first(study, info, found)
    left, right = st.columns([1.2, 1], gap="medium")
    with left:
        _show_map(found, info, among)
    with right:
        _show_cell(study, info)
    st.subheader("Accuracy class by class", anchor=False)
    _show_classes(found, info)
    _show_download(study)


def _choose_first(study: Study, info: CheckpointInfo, found: Confusion) -> None:
    """Choose the strongest confusion as the first cell, of the class that is chosen if one is."""
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
        "Map",
        MAPS,
        default=ATTACKED,
        key="hard_pairs.map",
        required=True,
        persist_state="session",
        help="Under attack: R, shares of a class that end as another. Clean: C, the same without "
        "an attack. Difference: R - C.",
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
        # one scale for both, so that switching between them shows what the attack does
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
        "diagonal, which would outshine the rest, is grey."
    )
    st.download_button(
        "PNG of the map",
        encode_png(_pixels(shares, signed=signed)),
        "confusion.png",
        "image/png",
        icon=":material/download:",
        on_click="ignore",
    )


def _pixels(shares: torch.Tensor, *, signed: bool) -> torch.Tensor:
    pixels = map_charts.map_pixels(shares.numpy(), signed=signed)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _alt(shares: torch.Tensor) -> str:
    strongest = hard_pairs(shares.clamp(min=0), 1)
    if not strongest:
        return "Map of confusions: no class is taken for another."
    return f"Map of confusions; the strongest pair has a mean share of {strongest[0].strength:.0%}."


def _show_cell(study: Study, info: CheckpointInfo) -> None:
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
    places = study.cell(label, predicted).tolist()
    right = study.prediction == study.images.y
    before = int((right & (study.images.y == label)).sum())
    fallen = int(right[places].sum())
    verb = "stay" if label == predicted else f"become {names[predicted]} under attack"
    st.markdown(
        f"**{fallen} of {count_words(before, 'image')}** of {names[label]} that are right without "
        f"an attack {verb}."
        + (f" {len(places) - fallen} more here were wrong before." if len(places) > fallen else "")
    )
    if not places:
        st.info("No image ends in this cell: pick another one.", icon=":material/grid_on:")
        return
    last = -(-len(places) // PER_PAGE)
    page = 1
    if last > 1:
        page = st.number_input("Page", 1, last, 1, key=f"hard_pairs.page.{label}.{predicted}")
    grid = st.container(horizontal=True, gap="small")
    for place in places[(page - 1) * PER_PAGE : page * PER_PAGE]:
        with grid.container(width=CELL, gap="small"):
            _show_image(study, info, place)


def _show_image(study: Study, info: CheckpointInfo, place: int) -> None:
    images, names = study.images, info.class_names
    x, label = images.x[place], int(images.y[place])
    scale = max(1, WIDTH // x.shape[2])
    enlarged = np.kron(x.permute(1, 2, 0).numpy(), np.ones((scale, scale, 1), dtype=np.float32))
    pixels = (255 * enlarged).round().astype(np.uint8).squeeze()
    before, after = int(study.prediction[place]), int(study.attacked[place])
    words = f"{names[before]} → {names[after]}"
    st.image(
        pixels,
        width=pixels.shape[1],
        output_format="PNG",
        alt=f"{names[label]}, predicted as {names[before]}, as {names[after]} under attack",
    )
    image = ChosenImage(x, label, images.image_id(place))
    st.page_link(
        page_script("attack"),
        label=words,
        icon=":material/bolt:",
        width="stretch",
        help=f"Opens {image.image_id} under this attack on the page Attack.",
        query_params=link_state(info, image, AttackPlan(study.attack, None)),
    )


def _show_classes(found: Confusion, info: CheckpointInfo) -> None:
    clean, robust = found.clean_accuracy(), found.robust_accuracy()
    worst, names = robust.worst, info.class_names
    mean = float(found.attacked_correct.diag().sum() / found.clean.sum())
    low = float(robust.accuracy[worst])
    st.markdown(
        f"**{percent(mean)}** of all images are right under attack, but only **{percent(low)}** of "
        f"class **{names[worst]}**, the worst of {info.num_classes}."
        if low < mean
        else f"Every class stands alike: **{percent(mean)}** are right under attack."
    )
    st.plotly_chart(
        class_bars(clean.accuracy.numpy(), robust.accuracy.numpy(), worst, names),
        key="hard_pairs.classes",
        alt=f"Accuracy of every class; the worst under attack is {names[worst]} with {low:.0%}.",
    )


def _show_download(study: Study) -> None:
    images, text = study.images, io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", "labelled", "predicted", "predicted under attack"])
    names = images.class_names
    for place in range(len(images)):
        classes = (images.y[place], study.prediction[place], study.attacked[place])
        writer.writerow([images.image_id(place), *(names[int(k)] for k in classes)])
    st.download_button(
        "CSV of all images",
        text.getvalue(),
        "hard_pairs.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
