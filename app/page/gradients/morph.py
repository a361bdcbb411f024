"""The class morph: one image led towards every class by every model, far beyond any budget."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.gradients import charts, measure
from app.page.gradients.controls import offer, seconds, short_name, wanted, warn_of_masking
from app.ui.image_picker import ChosenImage
from app.ui.units import percent
from robust_core.checkpoints.catalog import CheckpointInfo

EPSILON_KEY, EPSILON, LARGEST = "gradients.epsilon", 6.0, 20.0


def show_morph(models: Sequence[CheckpointInfo], image: ChosenImage) -> None:
    """Draw the filmstrip: target classes in columns, models in rows."""
    st.session_state.setdefault(EPSILON_KEY, EPSILON)
    epsilon = st.slider(
        "Radius (L2, pixels in [0, 1])",
        0.0,
        LARGEST,
        step=0.5,
        key=EPSILON_KEY,
        persist_state="session",
        help="How far the image may move in all. The usual budget of L2 attacks is 0.5.",
    )
    warn_of_masking(models)
    names = models[0].class_names
    run = (image.image_id or image.x.sum().item(), epsilon, tuple(info.name for info in models))
    cost = seconds(models, measure.MORPH_STEPS * len(names), len(names))
    if wanted("Morph", cost, "gradients.morph.run"):
        st.session_state["gradients.morph.asked"] = run
    if st.session_state.get("gradients.morph.asked") != run:
        st.info("Press Morph to lead the image towards every class.")
        return
    found = [measure.morph(info, image.x, image.label, epsilon) for info in models]
    tiles = np.stack([x_adv for x_adv, _ in found]).transpose(0, 1, 3, 4, 2)
    reached = np.stack([probabilities.diagonal() for _, probabilities in found])  # [R, K]
    words = charts.Words(
        [short_name(info) for info in models],
        list(names),
        [[percent(float(share)) for share in row] for row in reached],
    )
    st.plotly_chart(
        charts.picture_grid(tiles, words),
        config={"displayModeBar": False},
        key="gradients.morph",
        alt=f"An image of {names[image.label]} led towards every class within L2 {epsilon:g}. "
        "Mean probability of the wanted class: "
        + ", ".join(
            f"{short_name(info)} {row.mean():.0%}"
            for info, row in zip(models, reached, strict=True)
        ),
    )
    st.caption(
        f"Targeted PGD, L2 {epsilon:g}, {measure.MORPH_STEPS} steps of "
        f"{2.5 * epsilon / measure.MORPH_STEPS:.2g}, no random start. Under each tile: how sure "
        "the model is of the class it was led to. For comparison: the code of "
        "BIGRoC, by the authors of PAG, takes 10 to 15 for pixels in [-1, 1], here 5 to 7.5."
    )
    labels = np.array([info.name for info in models])
    data = measure.npz(x_adv=tiles, probability=reached, models=labels, epsilon=epsilon)
    offer(data, charts.picture_bytes(tiles), "morph")
