"""The loss around an image, towards its adversarial image and across; computed when opened."""

import streamlit as st

from app.ui import cached, honesty
from app.ui import charts as plots
from app.ui.forms import show_input_error
from robust_core.analysis.loss_surface import LossSurface
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation.trace import AttackTrace

MARGIN, CROSS_ENTROPY = "Margin", "Cross-entropy"
READING = (
    "**How to read it.** A smooth hill towards the adversarial image means that the gradient tells "
    "the truth: an attack that climbs it looks where the model is weakest. A flat plateau with "
    "cliffs, or jagged noise, means that the gradient is masked: it leads nowhere, although the "
    "model may be weak close by."
)
STOOD_STILL = "The attack did not move the image, so both directions are random."


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
    with box:
        try:
            surface = honesty.surface(
                info, trace, check_current=cached.latest_only("attack").begin()
            )
        except cached.Superseded:
            st.stop()
        except InputError as error:
            show_input_error(error)
            return
        _draw(surface, trace, info)


def _draw(surface: LossSurface, trace: AttackTrace, info: CheckpointInfo) -> None:
    shown = st.segmented_control(
        "Height",
        [MARGIN, CROSS_ENTROPY],
        default=MARGIN,
        required=True,
        key="attack.surface.value",
        help="Margin: the best wrong logit minus the label's; above 0 the label has lost. "
        "Cross-entropy: what most attacks ascend.",
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
    lost = float((surface.margin > 0).float().mean())
    alt = (
        f"{shown} on a plane around the image: from {float(values.min()):.3g} to "
        f"{float(values.max()):.3g}; the label has lost on {lost:.0%} of it."
    )
    for tab, draw in ((flat, plots.surface_contour), (relief, plots.surface_relief)):
        if tab.open:
            with tab:
                st.plotly_chart(draw(plot), key=f"attack.{draw.__name__}", alt=alt)
    if not moved:
        st.info(STOOD_STILL)
    st.markdown(READING)
    st.caption(
        f"Both axes in units of the budget, measured in {norm}: 1 is as far as the attacker may "
        f"go. {len(surface.steps)} x {len(surface.steps)} points."
    )
