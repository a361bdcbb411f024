"""What the attack of the page Hard pairs reached over all images, and whether to believe it."""

import streamlit as st

from app.page.hard_pairs.measure import Study
from app.ui.units import percent
from app.ui.words import attack_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.chance import learning_warning
from robust_core.evaluation_runs.subjects import masks_gradients

HIDDEN = (
    "This network has a part that hides its gradient, so PGD leads nowhere: what you see is the "
    "attack's failure, not the model's strength."
)


def show_summary(study: Study, info: CheckpointInfo) -> None:
    """Say how many images are right without and with the attack, and warn of a masked gradient."""
    right = study.prediction == study.images.y
    stand = right & (study.attacked == study.images.y)
    clean, robust = (percent(float(mask.float().mean())) for mask in (right, stand))
    exact = study.attack.model_dump(exclude={"num_restarts"})  # there is but one start
    st.caption(
        f"{info.name} on {len(study.images)} test images: {clean} right without an attack, "
        f"{robust} under {attack_words('pgd', exact)}, from the image itself."
    )
    warning = learning_warning(study.prediction, study.images.y)
    if warning:
        st.warning(warning, icon=":material/casino:")
    if masks_gradients(info):
        st.warning(HIDDEN, icon=":material/visibility_off:")
