"""Whether the shown model is right about the shown image, in one sentence."""

import streamlit as st

from app.page.retina import measure
from app.ui.image_picker import ChosenImage
from app.ui.plain import in_markdown
from app.ui.units import count_words, percent
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicClassifier, RetinotopicParameters


def show_answer(
    info: CheckpointInfo,
    network: RetinotopicClassifier | None,
    image: ChosenImage,
    settings: RetinotopicParameters,
    seed: int,
) -> None:
    """Draw what a model predicts for the image, and whether that is its label.

    Args:
        info: the checkpoint.
        network: its network if it has a retina.
        image: what it classifies.
        settings: of the sampler.
        seed: of its masks and noise.
    """
    if network is None:
        probabilities, how = measure.whole_image(info, image.x), ""
    else:
        found = measure.passes(info, image.x, settings, None, seed, 1)
        probabilities = found.decision[0]
        how = f" in one pass of {count_words(found.views.shape[1], 'view')}"
    names = [in_markdown(name) for name in info.class_names]
    winner = int(probabilities.argmax())
    share = percent(float(probabilities[winner]))
    says = f"{in_markdown(info.name)} predicts **{names[winner]}** ({share}){how}"
    if winner == image.label:
        st.markdown(f":material/check_circle: **Right**: {says}, which is the label.")
    else:
        st.markdown(f":material/cancel: **Wrong**: {says}; the label is **{names[image.label]}**.")
