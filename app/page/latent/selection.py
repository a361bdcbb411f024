"""The images of the points that are selected on the map, and their table."""

from collections.abc import Sequence

import streamlit as st

from app.page.latent import charts
from app.page.latent.measure import KeptSample
from app.ui.browser.assets import data_url
from app.ui.downloads import download, table
from app.ui.image_picker import choose_image
from app.ui.open_in import open_menu
from app.ui.plain import in_html
from app.ui.units import count_words
from robust_core.analysis.latent_sample import Layout
from robust_core.checkpoints.catalog import CheckpointInfo

MOST_SHOWN = 24  # pictures of a selection
PICTURE_WIDTH = 64  # CSS pixels; images of 32 pixels are enlarged by a whole number
Point = tuple[str, int]  # role, and position in the sample


def selected_points(ids: Sequence[str], sample: KeptSample) -> list[Point]:
    """Return the points that are called `ids`: misclassified ones first, then role by role."""
    points = [(role, int(i)) for role, i in (one.split("|") for one in ids) if role]
    order = list(sample.pictures)

    def place(point: Point) -> tuple[bool, int]:
        role, i = point
        return bool(sample.predictions[role][i] == sample.images.y[i]), order.index(role)

    return sorted((point for point in points if point[0] in order), key=place)


def show_selection(
    points: Sequence[Point], info: CheckpointInfo, sample: KeptSample, layout: Layout
) -> None:
    """Show the images of points; a single one can be opened on another page, all are a table."""
    if not points:
        st.info(
            "Click a point to see its image, or select many with the lasso or box of the chart.",
            icon=":material/lasso_select:",
        )
        return
    if len(points) == 1:
        _one(*points[0], info, sample)
    else:
        _several(points, sample)
    download("Selection, CSV", lambda: selection_table(points, sample, layout), "selection.csv")


def selection_table(points: Sequence[Point], sample: KeptSample, layout: Layout) -> str:
    """Return points as CSV: their image, what is predicted for it in every role, their place."""
    images, names, roles = sample.images, sample.images.class_names, list(sample.predictions)
    head = ["index", "image", "point", "label", *(f"{role}_prediction" for role in roles)]
    rows = [
        [
            int(images.index[i]),
            images.image_id(i),
            role,
            names[int(images.y[i])],
            *(names[int(sample.predictions[each][i])] for each in roles),
            *(f"{float(value):.6g}" for value in layout.places[role][i]),
        ]
        for role, i in points
    ]
    return table([*head, *"xyz"[: layout.path.shape[1]]], rows)


def _several(points: Sequence[Point], sample: KeptSample) -> None:
    wrong = sum(int(sample.predictions[role][i] != sample.images.y[i]) for role, i in points)
    st.markdown(
        f"**{count_words(len(points), 'point')}**, {wrong} of them misclassified"
        + (f"; the first {MOST_SHOWN} are shown" if len(points) > MOST_SHOWN else "")
        + (", misclassified ones first." if 0 < wrong < len(points) else ".")
    )
    with st.container(horizontal=True, gap="small", key="latent.selected"):
        for role, i in points[:MOST_SHOWN]:
            _picture(role, i, sample)


def _one(role: str, i: int, info: CheckpointInfo, sample: KeptSample) -> None:
    image_id = sample.images.image_id(i)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for each in sample.pictures:
            _picture(each, i, sample)
        if st.button("Show its path", icon=":material/route:", key="latent.follow"):
            choose_image(info, image_id)
            st.rerun()
        open_menu(info, image_id, key="latent.open")


def _picture(role: str, i: int, sample: KeptSample) -> None:
    images = sample.images
    names = [in_html(name) for name in images.class_names]
    predicted = names[int(sample.predictions[role][i])]
    right = bool(sample.predictions[role][i] == images.y[i])
    words = f"{role} {names[int(images.y[i])]} predicted as {predicted}"
    mark = "" if right else " ✗"
    st.html(
        f'<figure style="margin:0;width:{PICTURE_WIDTH + 8}px;text-align:center;font-size:0.75rem">'
        f'<img src="{data_url(sample.pictures[role][i])}" alt="{words}" '
        f'width="{PICTURE_WIDTH}" height="{PICTURE_WIDTH}" style="image-rendering:pixelated;'
        f'border:2px solid {charts.ROLE_COLOURS[role]}">'
        f"<figcaption>{role}<br>{predicted}{mark}</figcaption></figure>",
        width="content",
    )
