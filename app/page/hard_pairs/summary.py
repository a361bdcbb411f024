"""Clean and robust accuracy on the page Hard pairs, with a warning of masked gradients."""

import streamlit as st

from app.ui.plain import in_markdown
from app.ui.units import percent
from app.ui.words import attack_words
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.chance import learning_warning

MASKED = (
    "This network has a part that masks its gradient, so PGD gets no useful direction: the result "
    "shows a failure of the attack, not the robustness of the model."
)


def show_summary(run: ConfusionRun, info: CheckpointInfo) -> None:
    """Show clean and robust accuracy, and warn of models at chance and of masked gradients."""
    clean, robust = (percent(float(mask.float().mean())) for mask in (run.correct, run.robust))
    exact = run.attack.model_dump(exclude={"num_restarts"})  # there is only one start
    st.caption(
        f"{in_markdown(info.name)} on {len(run.images)} test images: clean accuracy {clean}, "
        "robust accuracy "
        f"{robust} under {attack_words('pgd', exact)}, without random start."
    )
    warning = learning_warning(run.prediction, run.images.y)
    if warning:
        st.warning(warning, icon=":material/casino:")
    if info.masks_gradients:
        st.warning(MASKED, icon=":material/visibility_off:")
