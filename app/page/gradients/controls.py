"""Controls of the page Gradients besides model and image."""

from collections.abc import Sequence

import streamlit as st

from app.ui.plain import in_markdown
from app.ui.state import Choice
from app.ui.words import short_name
from robust_core.checkpoints.catalog import CheckpointInfo

VIEWS = {
    "classes": "Every class",
    "targets": "Targets",
    "alignment": "Alignment",
    "morph": "Class morph",
    "attribution": "Attribution",
    "synthesis": "Synthesis",
}
VIEW = Choice("view", "gradients.view", VIEWS)
STORIES = {
    "classes": "Which change of the image would raise the score of each class? The input gradient "
    "is the model's answer.",
    "targets": "Does the gradient of a class point towards that class? Top row: a direction that "
    "does. Below: the gradients of the models.",
    "alignment": "Do gradients point towards their classes more than shuffled ones would? And are "
    "models whose gradients do more robust?",
    "morph": "Follow the gradient far towards each class: does an image of that class appear, or "
    "only noise that the model classifies as it?",
    "attribution": "Eight attribution methods show which pixels a prediction relies on. Two "
    "measures show how good these explanations are.",
    "synthesis": "Can a classifier generate images? Start from a random seed or from an image with "
    "a hole, and follow the gradient of each class.",
}
MASKED = (
    "{names}: a non-differentiable part blocks the gradient, so the maps are empty. This is "
    "gradient masking, not robustness."
)


def pick_view() -> str:
    """Draw the choice of a view and its introduction; return the view."""
    view = VIEW.segmented("View", bare=True)
    st.markdown(STORIES[view])
    return view


def warn_of_masking(models: Sequence[CheckpointInfo]) -> None:
    """Warn of models with masked gradients."""
    names = ", ".join(short_name(info) for info in models if info.masks_gradients)
    if names:
        st.warning(MASKED.format(names=in_markdown(names)), icon=":material/visibility_off:")


def theme() -> str:
    """Return the theme of the page: "light" or "dark"."""
    return "dark" if st.context.theme.type == "dark" else "light"
