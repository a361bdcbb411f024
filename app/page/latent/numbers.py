"""The numbers beside the map: how far features went, in all and class by class."""

import streamlit as st

from app.page.latent.link import AGAINST, AGAINST_KEY
from app.page.latent.survey import Survey, distances
from app.ui.units import percent
from robust_core.analysis.latent_distances import ClassDistances
from robust_core.attacks.base import Attack
from robust_core.attacks.description import attack_title
from robust_core.checkpoints.catalog import CheckpointInfo


def finding(survey: Survey, attack: Attack) -> str:
    """Return in one sentence what the attack did to the features."""
    moved, noise = distances(survey, "adversarial")[0], distances(survey, "noisy")[0]
    compared = ""
    if moved.drift > 0 and noise.drift > 0:
        times = moved.drift / noise.drift
        compared = f" (**{times:.1f} times** as far as noise within the same budget)"
    return (
        f"{attack_title(attack.name)} takes the network from "
        f"**{percent(survey.accuracy('clean'))}** to **{percent(survey.accuracy('adversarial'))}** "
        f"accuracy and moves the mean feature by **{moved.drift:.3g}**{compared}; an attacked "
        f"image keeps **{percent(moved.overlap)}** of its clean neighbours."
    )


def show_numbers(survey: Survey, info: CheckpointInfo) -> None:
    """Draw the distances of one kind of images from the clean ones."""
    offered = [role for role in AGAINST if role in survey.pictures]
    if st.session_state[AGAINST_KEY] not in offered:
        st.session_state[AGAINST_KEY] = offered[0]
    role = st.selectbox(
        "Clean images against",
        offered,
        format_func=str.capitalize,
        key=AGAINST_KEY,
        persist_state="session",
    )
    rows = distances(survey, role)
    noise = None if role == "noisy" else distances(survey, "noisy")[0]
    left, right = st.columns(2)
    for column, (name, label, _, explanation) in zip((left, right) * 2, _MEASURES, strict=True):
        column.metric(
            label,
            _number(name, rows[0]),
            None if noise is None else f"noise: {_number(name, noise)}",
            delta_color="off",
            delta_arrow="off",
            help=explanation,
        )
    st.dataframe(
        [
            {
                "Class": "all" if row.label is None else info.class_names[row.label],
                **{short: getattr(row, name) for name, _, short, _ in _MEASURES},
            }
            for row in rows
        ],
        hide_index=True,
        column_config={
            "Class": st.column_config.TextColumn(width=50),
            **{
                short: st.column_config.NumberColumn(format="%.2f", help=words, width=48)
                for _, _, short, words in _MEASURES
            },
        },
        key="latent.distances",
        height=35 * (min(len(rows), 11) + 1) + 3,
    )
    sizes = survey.images.y.unique(return_counts=True)[1]
    st.caption(
        f"{len(survey.images)} images of the test split, {int(sizes.min())} to {int(sizes.max())} "
        f"of a class; features are the {survey.features['clean'].shape[1]} numbers before the last "
        "layer of the bare network. Of few images, distances are large by chance"
        + ("." if int(sizes.min()) > 1 else ", and a class with one image has none.")
    )


_MEASURES = (
    ("drift", "Centroid drift", "Drift", "Length of the way of the mean feature."),
    (
        "mmd",
        "MMD",
        "MMD",
        "Maximum mean discrepancy under a Gaussian kernel of median width (Gretton et al., JMLR "
        "2012), biased estimate: 0 for equal samples, at most 1.41.",
    ),
    (
        "wasserstein",
        "Wasserstein",
        "W1",
        "1-D Wasserstein distance along the direction of the drift; at least the drift itself.",
    ),
    (
        "overlap",
        "k-NN overlap",
        "k-NN",
        "Share of an image's 10 nearest clean neighbours that are still its nearest ones.",
    ),
)


def _number(name: str, row: ClassDistances) -> str:
    value = getattr(row, name)
    return percent(value) if name == "overlap" else f"{value:.3g}"
