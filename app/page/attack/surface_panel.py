"""The loss surface around an image: towards its adversarial image, and along a random direction.

It is computed when its expander is opened.
"""

import streamlit as st

from app.ui import charts as plots
from app.ui import reliability
from app.ui.page import input_errors
from app.ui.units import percent
from robust_core.analysis.loss_surface import LossSurface
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace

MARGIN, CROSS_ENTROPY = "Margin", "Cross-entropy"
READING = (
    "**How to read it.** A smooth slope towards the adversarial image means that the gradient is "
    "informative: an attack that follows it moves where the loss grows fastest. A flat plateau "
    "with cliffs, or jagged noise, is a sign of a masked gradient: the attack gets no useful "
    "direction, although an adversarial example may be close by."
)
UNCHANGED = "The attack did not change the image, so both directions are random."


@st.fragment
def show_surface(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Offer the loss surface in an expander."""
    box = st.expander(
        "The loss around this image",
        icon=":material/landscape:",
        key="attack.surface",
        on_change="rerun",
    )
    if not box.open:
        return
    with box, input_errors():
        _draw(reliability.surface(info, trace), trace, info)


def _draw(surface: LossSurface, trace: AttackTrace, info: CheckpointInfo) -> None:
    shown = st.segmented_control(
        "Height",
        [MARGIN, CROSS_ENTROPY],
        default=MARGIN,
        required=True,
        key="attack.surface.value",
        help="Margin: the largest wrong logit minus the label's; above 0 the image is "
        "misclassified. Cross-entropy: the loss that most attacks increase.",
    )
    values = surface.margin if shown == MARGIN else surface.cross_entropy
    norm, moved = trace.attack.norm, trace.distance > 0
    plot = plots.Surface(
        steps=surface.steps.numpy(),
        values=values.numpy(),
        margin=surface.margin.numpy(),
        classes=[[info.class_names[k] for k in row] for row in surface.prediction.tolist()],
        axis="Adversarial" if moved else plots.RANDOM_AXIS,
        value=str(shown),
        reached=trace.distance / max(trace.attack.epsilon, 1e-12) if moved else None,
    )
    flat, relief = st.tabs(["Map", "3-D"], key="attack.surface.tabs", on_change="rerun")
    wrong = float((surface.margin > 0).float().mean())
    alt = (
        f"{shown} on a plane around the image: from {float(values.min()):.3g} to "
        f"{float(values.max()):.3g}; {percent(wrong)} of it is misclassified."
    )
    for tab, draw in ((flat, plots.surface_contour), (relief, plots.surface_relief)):
        if tab.open:
            with tab:
                st.plotly_chart(draw(plot), key=f"attack.{draw.__name__}", alt=alt)
    if not moved:
        st.info(UNCHANGED)
    st.markdown(READING)
    st.caption(
        f"Both axes in units of epsilon ({norm}): at 1 the perturbation budget is used up. "
        f"{len(surface.steps)} x {len(surface.steps)} points."
    )
