"""The state of the page "Latent space" in its address."""

from collections.abc import Sequence
from importlib.util import find_spec

import streamlit as st

from app.ui.attack_controls import AttackPlan
from app.ui.attack_link import attack_steps, link_state
from app.ui.image_picker import ChosenImage
from app.ui.page_link import PageLink, number, one_of, part
from robust_core.checkpoints.catalog import CheckpointInfo

LAYOUT_KEY, DIMENSIONS_KEY = "latent.layout", "latent.dimensions"
COLOUR_KEY, IMAGES_KEY, AGAINST_KEY = "latent.colour", "latent.images", "latent.against"
DISTANCE_KEY = "latent.distance"
LAYOUTS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
DIMENSIONS = {"2": "2-D", "3": "3-D"}
COLOURS = {"role": "Role", "class": "Class"}
AGAINST = ("adversarial", "noisy", "transformed")
DISTANCES = {
    "relative": "Relative change",
    "angle": "Angle",
    "drift": "Centroid drift",
    "mmd": "MMD",
    "wasserstein": "Wasserstein",
    "overlap": "k-NN overlap",
}
FEWEST, MOST, USUAL = 50, 400, 150
PARTS = {
    "layout": LAYOUT_KEY,
    "dimensions": DIMENSIONS_KEY,
    "colour": COLOUR_KEY,
    "images": IMAGES_KEY,
    "against": AGAINST_KEY,
    "distance": DISTANCE_KEY,
}


def layouts() -> list[str]:
    """Return the names of the layouts that work here: UMAP only where its package is installed."""
    return [name for name in LAYOUTS if name != "umap" or find_spec("umap")]


def set_defaults() -> None:
    """Fill in whatever the page has not been told yet."""
    for key, value in (
        (LAYOUT_KEY, "pca"),
        (DIMENSIONS_KEY, "2"),
        (COLOUR_KEY, "role"),
        (IMAGES_KEY, USUAL),
        (AGAINST_KEY, "adversarial"),
        (DISTANCE_KEY, "relative"),
    ):
        st.session_state.setdefault(key, value)


def pick_size() -> int:
    """Draw the slider and return how many images are mapped."""
    return st.slider("Images in the map", FEWEST, MOST, key=IMAGES_KEY, persist_state="session")


def latent_page_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page: all of the attack page's, and how the map is drawn.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    steps = [
        part("layout", one_of("layout", LAYOUT_KEY, layouts)),
        part("dimensions", one_of("dimensions", DIMENSIONS_KEY, lambda: list(DIMENSIONS))),
        part("colour", one_of("colour", COLOUR_KEY, lambda: list(COLOURS))),
        part("images", number("images", IMAGES_KEY, FEWEST, MOST)),
        part("against", one_of("against", AGAINST_KEY, lambda: AGAINST)),
        part("distance", one_of("distance", DISTANCE_KEY, lambda: list(DISTANCES))),
    ]
    return PageLink("latent", [*attack_steps(infos, also=PARTS), *steps])


def latent_state(info: CheckpointInfo, image: ChosenImage, plan: AttackPlan) -> dict[str, str]:
    """Return the query parameters that lead back to what the page shows."""
    mine = {name: str(st.session_state[key]) for name, key in PARTS.items()}
    return link_state(info, image, plan) | mine
