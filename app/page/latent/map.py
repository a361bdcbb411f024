"""The map of the latent space: controls, chart, and the images of a selection."""

from collections.abc import Sequence
from typing import Any, cast

import streamlit as st

from app.page.latent import charts
from app.page.latent.link import COLOUR, DIMENSIONS, LAYOUT, LAYOUTS
from app.page.latent.measure import KeptPath, KeptSample, lay_out
from app.page.latent.selection import selected_points, show_selection
from app.ui.downloads import download, npz, table
from app.ui.forms import show_input_error
from app.ui.plain import in_html
from app.ui.units import percent
from robust_core.analysis.latent import ProjectionName
from robust_core.analysis.latent_sample import Layout
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

ROLES_KEY = "latent.roles"
WARNINGS = {
    "pca": "PCA is linear: points far apart here are far apart in feature space, too. Axes are "
    "fitted on the clean images only.",
    "tsne": "t-SNE is computed on all points together, so clean ones move when the attack changes. "
    "It keeps neighbours: distances and cluster sizes mean little.",
}


@st.fragment
def show_map(info: CheckpointInfo, sample: KeptSample, path: KeptPath, seed: int) -> None:
    """Draw controls, map and selection; a selection reruns only this part of the page."""
    _controls(sample)
    name, dimensions = cast(ProjectionName, LAYOUT.value), int(DIMENSIONS.value)
    roles = [role for role in sample.pictures if role in st.session_state[ROLES_KEY]]
    if not roles:
        st.info("Choose at least one type of images.")
        return
    try:
        layout = lay_out(sample, path, name, dimensions, seed)
    except InputError as error:
        show_input_error(error)
        return
    by_class = COLOUR.value == "class"
    figure = charts.latent_map(
        [_cloud(sample, layout, role) for role in roles],
        charts.Path(layout.path, _path_words(info, path), path.num_iterates),
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
        alt=f"{LAYOUTS[name]} of {', '.join(roles)} features of {len(sample.images)} images in "
        f"{dimensions} dimensions.",
    )
    st.caption(
        f"{WARNINGS[name]} {len(sample.images)} images. Circle: clean, square: noisy, diamond: "
        "adversarial, cross: transformed. The camera button of the chart saves it as a picture."
    )
    chosen = event["selection"]["points"] if dimensions == 2 else []
    if dimensions == 2:
        ids = [str(point["customdata"]) for point in chosen if "customdata" in point]
        show_selection(selected_points(ids, sample), info, sample, layout)
    else:
        st.caption("Points can be selected in 2-D.")
    _download(info, sample, layout)


def _controls(sample: KeptSample) -> None:
    offered = list(sample.pictures)
    usual = [role for role in offered if role != "noisy"]  # they would hide the clean points
    kept = [role for role in st.session_state.get(ROLES_KEY, usual) if role in offered]
    st.session_state[ROLES_KEY] = kept
    with st.container(horizontal=True, gap="medium"):
        LAYOUT.segmented("Projection")
        DIMENSIONS.segmented("Dimensions")
        COLOUR.segmented("Colour by")
        st.pills(
            "Images",
            offered,
            format_func=str.capitalize,
            selection_mode="multi",
            key=ROLES_KEY,
            persist_state="session",
            help="Noisy: uniform noise within the perturbation budget of the attack. Transformed: "
            "adversarial images after one step that increases the discriminator's score (IMT).",
        )


def _cloud(sample: KeptSample, layout: Layout, role: str) -> charts.Cloud:
    images, found = sample.images, sample.predictions[role]
    names = [in_html(name) for name in images.class_names]
    words = [
        f"{role}, image {int(images.index[i])}<br>{names[int(images.y[i])]}, "
        f"predicted {names[int(found[i])]}"
        for i in range(len(images))
    ]
    ids = [f"{role}|{i}" for i in range(len(images))]
    return charts.Cloud(role, layout.places[role], images.y.numpy(), ids, words)


def _path_words(info: CheckpointInfo, path: KeptPath) -> list[str]:
    names = [in_html(info.class_names[int(k)]) for k in path.predictions]
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


def _download(info: CheckpointInfo, sample: KeptSample, layout: Layout) -> None:
    features = {role: sample.features[role].numpy() for role in layout.places}
    index, labels = sample.images.index, sample.images.y
    with st.container(horizontal=True):
        download("Map, CSV", lambda: _csv(info, sample, layout), "latent-map.csv")
        download(
            "Features, NumPy",
            lambda: npz(index=index, labels=labels, **features),
            "latent-features.npz",
        )


def _csv(info: CheckpointInfo, sample: KeptSample, layout: Layout) -> str:
    names, rows = info.class_names, []
    for role, places in layout.places.items():
        scores = sample.scores.get(role)
        for i in range(len(sample.images)):
            rows.append(
                [
                    sample.images.image_id(i),
                    role,
                    names[int(sample.images.y[i])],
                    names[int(sample.predictions[role][i])],
                    "" if scores is None else f"{float(scores[i]):.6g}",
                    *(f"{float(value):.6g}" for value in places[i]),
                ]
            )
    axes = "xyz"[: layout.path.shape[1]]
    return table(["image", "role", "label", "prediction", "score", *axes], rows)
