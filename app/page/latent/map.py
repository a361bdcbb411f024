"""The map of the latent space: how it is drawn, the chart, and what a selection shows."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from app.navigation import page_script
from app.page.latent import charts
from app.page.latent.link import (
    COLOUR_KEY,
    COLOURS,
    DIMENSIONS,
    DIMENSIONS_KEY,
    LAYOUT_KEY,
    LAYOUTS,
    layouts,
)
from app.page.latent.survey import ImagePath, Layout, Survey, lay_out
from app.ui.browser.player import data_url
from app.ui.forms import show_input_error
from app.ui.image_picker import choose_image
from app.ui.units import count_words, percent
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

ROLES_KEY = "latent.roles"
MOST_SHOWN = 24  # selected pictures
PICTURE_WIDTH = 64  # CSS pixels; images of 32 pixels are enlarged by a whole number
WARNINGS = {
    "pca": "PCA is linear: what lies far apart here does so in the network, too.",
    "tsne": "t-SNE lays out the clean points; a moved point is put among its 5 nearest clean ones, "
    "so it can never lie outside of them. Distances and sizes of clusters mean little.",
    "umap": "UMAP keeps neighbours, not distances: gaps and sizes of clusters mean little.",
}


@st.fragment
def show_map(info: CheckpointInfo, survey: Survey, path: ImagePath, seed: int) -> None:
    """Draw controls, map and selection; a selection reruns nothing else."""
    _controls(survey)
    name, dimensions = st.session_state[LAYOUT_KEY], int(st.session_state[DIMENSIONS_KEY])
    roles = [role for role in survey.pictures if role in st.session_state[ROLES_KEY]]
    if not roles:
        st.info("Choose at least one kind of image to see where it lies.")
        return
    try:
        layout = lay_out(survey, path, name, dimensions, seed)
    except InputError as error:
        show_input_error(error)
        return
    by_class = st.session_state[COLOUR_KEY] == "class"
    figure = charts.latent_map(
        [_cloud(survey, layout, role) for role in roles],
        charts.Way(layout.path, _path_words(info, path), path.num_iterates),
        class_names=info.class_names if by_class else None,
        axes=_axes(name, layout, dimensions),
    )
    picture = {"format": "png", "filename": "latent-space", "scale": 2}
    event: Any = st.plotly_chart(
        figure,
        on_select="rerun" if dimensions == 2 else "ignore",
        selection_mode=("points", "box", "lasso"),
        key=f"latent.map.{dimensions}",
        config={"toImageButtonOptions": picture, "displayModeBar": True},
        alt=f"{LAYOUTS[name]} of {', '.join(roles)} features of {len(survey.images)} images in "
        f"{dimensions} dimensions, fitted on the clean ones.",
    )
    st.caption(
        f"{WARNINGS[name]} Axes are fitted on the {len(survey.images)} clean images alone. Circle: "
        "clean, square: noisy, diamond: adversarial, cross: transformed. The camera in the chart's "
        "toolbar saves the picture."
    )
    chosen = event["selection"]["points"] if dimensions == 2 else []
    _selection(
        [str(point["customdata"]) for point in chosen if "customdata" in point], info, survey
    )
    _download(info, survey, layout)


def _controls(survey: Survey) -> None:
    offered = list(survey.pictures)
    usual = [role for role in offered if role != "noisy"]  # which hides the clean points
    kept = [role for role in st.session_state.get(ROLES_KEY, usual) if role in offered]
    st.session_state[ROLES_KEY] = kept
    with st.container(horizontal=True, gap="medium"):
        for label, key, words, choices in (
            ("Map", LAYOUT_KEY, LAYOUTS, layouts()),
            ("Axes", DIMENSIONS_KEY, DIMENSIONS, list(DIMENSIONS)),
            ("Colour", COLOUR_KEY, COLOURS, list(COLOURS)),
        ):
            st.segmented_control(
                label,
                choices,
                format_func=words.__getitem__,
                key=key,
                required=True,
                persist_state="session",
                help=None if len(choices) == len(words) else _umap_words(),
            )
        st.pills(
            "Images",
            offered,
            format_func=str.capitalize,
            selection_mode="multi",
            key=ROLES_KEY,
            persist_state="session",
            help="Noisy: uniform noise within the attack's budget. Transformed: the adversarial "
            "images after one step towards what the discriminator finds natural (IMT).",
        )


def _umap_words() -> str:
    return "UMAP appears here once its optional package is installed: pip install umap-learn."


def _cloud(survey: Survey, layout: Layout, role: str) -> charts.Cloud:
    images, found = survey.images, survey.predictions[role]
    words = [
        f"{role}, image {int(images.index[i])}<br>{images.class_names[int(images.y[i])]}, "
        f"predicted {images.class_names[int(found[i])]}"
        for i in range(len(images))
    ]
    ids = [f"{role}|{i}" for i in range(len(images))]
    return charts.Cloud(role, layout.places[role], images.y.numpy(), ids, words)


def _path_words(info: CheckpointInfo, path: ImagePath) -> list[str]:
    names = [info.class_names[int(k)] for k in path.predictions]
    last = path.num_iterates - 1
    titles = ["clean", *[f"iterate {i}" for i in range(1, last)], "adversarial", "transformed"]
    if last == 0:
        titles = ["clean", "transformed"]
    return [
        f"chosen image, {title}<br>predicted {name}"
        for title, name in zip(titles, names, strict=False)
    ]


def _axes(name: str, layout: Layout, dimensions: int) -> Sequence[str]:
    if layout.explained is None:
        return [f"{LAYOUTS[name]} {number}" for number in range(1, dimensions + 1)]
    return [
        f"Component {number} ({percent(float(share))} of the clean variance)"
        for number, share in enumerate(layout.explained, 1)
    ]


def _selection(ids: list[str], info: CheckpointInfo, survey: Survey) -> None:
    """Show the pictures behind selected points; one alone leads on to the Attack page."""
    if st.session_state[DIMENSIONS_KEY] != "2":
        st.caption("Points can be selected in 2-D.")
        return
    if not ids:
        st.info(
            "Click a point to follow its image; take the lasso or the box from the chart's toolbar "
            "to see the images of many.",
            icon=":material/lasso_select:",
        )
        return
    points: list[tuple[str, int]] = []
    for role in survey.pictures:
        points += [(role, int(i.split("|")[1])) for i in ids if i.split("|")[0] == role]
    if len(points) == 1:
        _one(*points[0], info, survey)
        return
    wrong = sum(int(survey.predictions[role][i] != survey.images.y[i]) for role, i in points)
    st.markdown(
        f"**{count_words(len(points), 'point')}**, {wrong} of them predicted wrongly"
        + (f"; the first {MOST_SHOWN} are shown." if len(points) > MOST_SHOWN else ".")
    )
    with st.container(horizontal=True, gap="small", key="latent.selected"):
        for role, i in points[:MOST_SHOWN]:
            _picture(role, i, survey)


def _one(role: str, i: int, info: CheckpointInfo, survey: Survey) -> None:
    image_id = survey.images.image_id(i)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for each in survey.pictures:
            _picture(each, i, survey)
        if st.button("Follow it in the map", icon=":material/route:", key="latent.follow"):
            choose_image(info, image_id)
            st.rerun()
        if st.button("Open in Attack", icon=":material/bolt:", key="latent.open"):
            choose_image(info, image_id)
            st.switch_page(page_script("attack"))


def _picture(role: str, i: int, survey: Survey) -> None:
    names, images = survey.images.class_names, survey.images
    seen = names[int(survey.predictions[role][i])]
    right = bool(survey.predictions[role][i] == images.y[i])
    words = f"{role} {names[int(images.y[i])]} seen as {seen}"
    mark = "" if right else " ✗"
    st.html(
        f'<figure style="margin:0;width:{PICTURE_WIDTH + 8}px;text-align:center;font-size:0.75rem">'
        f'<img src="{data_url(survey.pictures[role][i].numpy())}" alt="{words}" '
        f'width="{PICTURE_WIDTH}" height="{PICTURE_WIDTH}" style="image-rendering:pixelated;'
        f'border:2px solid {charts.ROLE_COLOURS[role]}">'
        f"<figcaption>{role}<br>{seen}{mark}</figcaption></figure>",
        width="content",
    )


def _download(info: CheckpointInfo, survey: Survey, layout: Layout) -> None:
    rows = io.StringIO()
    table = csv.writer(rows)
    dimensions = layout.path.shape[1]
    table.writerow(["image", "role", "label", "prediction", "score", *"xyz"[:dimensions]])
    arrays = {}
    names = info.class_names
    for role, places in layout.places.items():
        arrays[role] = survey.features[role].numpy()
        scores = survey.scores.get(role)
        for i in range(len(survey.images)):
            table.writerow(
                [
                    survey.images.image_id(i),
                    role,
                    names[int(survey.images.y[i])],
                    names[int(survey.predictions[role][i])],
                    "" if scores is None else f"{float(scores[i]):.6g}",
                    *(f"{float(value):.6g}" for value in places[i]),
                ]
            )
    exact = io.BytesIO()
    np.savez_compressed(exact, index=survey.images.index, labels=survey.images.y, **arrays)
    with st.container(horizontal=True):
        for words, data, name in (
            ("Map, CSV", rows.getvalue(), "latent-map.csv"),
            ("Features, NumPy", exact.getvalue(), "latent-features.npz"),
        ):
            st.download_button(
                words, data, name, icon=":material/download:", on_click="ignore", key=name
            )
