"""The numbers beside the map: distances between features, overall and per class."""

import streamlit as st

from app.page.latent.link import AGAINST
from app.page.latent.measure import KeptSample, distances
from app.ui.units import capitalised, percent
from robust_core.analysis.latent_distances import ClassDistances, neighbours_among
from robust_core.attacks.base import Attack
from robust_core.attacks.description import attack_title
from robust_core.checkpoints.catalog import CheckpointInfo


def summary(sample: KeptSample, attack: Attack) -> str:
    """Return in one sentence how the attack changed accuracy and features."""
    moved, noise = distances(sample, "adversarial")[0], distances(sample, "noisy")[0]
    compared = ""
    if moved.drift > 0 and noise.drift > 0:
        times = moved.drift / noise.drift
        compared = f" (**{times:.1f} times** as far as random noise of the same budget)"
    return (
        f"{capitalised(attack_title(attack.name))} lowers the accuracy from "
        f"**{percent(sample.accuracy('clean'))}** to **{percent(sample.accuracy('adversarial'))}** "
        f"and shifts the mean feature by **{moved.drift:.3g}**{compared}. On average, "
        f"**{percent(moved.overlap)}** of the {neighbours_among(len(sample.images))} nearest clean "
        "neighbours of an image remain."
    )


def show_numbers(sample: KeptSample, info: CheckpointInfo) -> None:
    """Draw the distances between one type of images and the clean ones."""
    role = AGAINST.select("Compare clean images with", among=sample.pictures)
    rows = distances(sample, role)
    noise = None if role == "noisy" else distances(sample, "noisy")[0]
    k = neighbours_among(len(sample.images))
    left, right = st.columns(2)
    for column, (name, label, _, explanation) in zip((left, right) * 2, _MEASURES, strict=True):
        column.metric(
            f"{k}-NN overlap" if name == "overlap" else label,
            _number(name, rows[0]),
            None if noise is None else f"noise: {_number(name, noise)}",
            delta_color="off",
            delta_arrow="off",
            help=explanation.format(k=k),
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
                short: st.column_config.NumberColumn(
                    format="%.2f", help=words.format(k=k), width=48
                )
                for _, _, short, words in _MEASURES
            },
        },
        key="latent.distances",
        height=35 * (min(len(rows), 11) + 1) + 3,
    )
    sizes = sample.images.y.unique(return_counts=True)[1]
    st.caption(
        f"{len(sample.images)} images of the test split, {int(sizes.min())} to {int(sizes.max())} "
        f"per class; features are the {sample.features['clean'].shape[1]} inputs of the last layer "
        "of the base network. For few images, distances are large by chance"
        + ("." if int(sizes.min()) > 1 else ", and a class with one image has none.")
    )


_MEASURES = (
    ("drift", "Centroid drift", "Drift", "Euclidean norm of the shift of the mean feature."),
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
        "1-D Wasserstein distance along the direction of the drift; never below the drift.",
    ),
    (
        "overlap",
        "k-NN overlap",
        "k-NN",
        "Share of an image's {k} nearest clean neighbours that remain among its {k} nearest.",
    ),
)


def _number(name: str, row: ClassDistances) -> str:
    value = getattr(row, name)
    return percent(value) if name == "overlap" else f"{value:.3g}"
