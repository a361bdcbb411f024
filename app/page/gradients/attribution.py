"""Attribution methods side by side, where each does not apply, and how far to trust it."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.page.gradients import charts, measure
from app.page.gradients.controls import offer, seconds, short_name, theme, wanted
from app.ui.image_picker import ChosenImage
from robust_core.checkpoints.catalog import CheckpointInfo

TITLES = {
    "saliency": "Saliency",
    "input_x_gradient": "Input X Gradient",
    "integrated_gradients": "Integrated Gradients",
    "smoothgrad": "SmoothGrad",
    "guided_backprop": "Guided Backprop",
    "grad_cam": "Grad-CAM",
    "occlusion": "Occlusion",
    "deep_lift": "DeepLift",
}
MAP_PASSES, TRUST_PASSES = 300, 3500  # mostly occlusion: 225 places, and 9 images for trust
READING = (
    "**Infidelity**: how badly the map predicts what noise of 0.1 does to the logit, the map "
    "scaled to fit best. **Sensitivity**: how far the map moves when the image moves by at most "
    "0.02 a pixel, relative to its length. Both are 0 at best (Yeh et al., NeurIPS 2019, "
    "arXiv:1901.09392; 32 perturbations, 8 neighbours, this image only). Logits of different "
    "models differ in scale, so compare infidelity within a row."
)


def show_attribution(models: Sequence[CheckpointInfo], image: ChosenImage) -> None:
    """Draw the maps, methods in columns and models in rows, and offer the two tests."""
    names = models[0].class_names
    key = f"gradients.explained.{models[0].config.data.name}"
    if st.session_state.get(key) not in range(len(names)):
        st.session_state[key] = image.label
    label = st.selectbox(
        "Class that is explained",
        range(len(names)),
        format_func=names.__getitem__,
        key=key,
        persist_state="session",
        help="Every method explains the logit of this class.",
    )
    asked = (image.image_id or image.x.sum().item(), label, tuple(info.name for info in models))
    if wanted("Explain", seconds(models, MAP_PASSES, 16), "gradients.attribution.run"):
        st.session_state["gradients.attribution.asked"] = asked
    if st.session_state.get("gradients.attribution.asked") != asked:
        st.info("Press Explain to compute the maps of all methods.")
        return
    found = [measure.attributions(info, image.x, label) for info in models]
    maps = np.stack([each for each, _ in found])  # [R, M, C, H, W]
    _draw(maps, models, names[label])
    _tell_reasons([reasons for _, reasons in found], models)
    _show_trust(models, image, label, asked)


def _draw(maps: measure.Array, models: Sequence[CheckpointInfo], label: str) -> None:
    sums = maps.sum(axis=2)  # [R, M, H, W]
    limits = np.nanpercentile(
        np.abs(np.nan_to_num(sums)), charts.PERCENTILE, axis=(2, 3), keepdims=True
    )
    shown = sums / np.where(limits > 0, limits, 1.0)
    methods = [TITLES[method] for method in measure.METHODS]
    words = charts.Words([short_name(info) for info in models], methods)
    st.plotly_chart(
        charts.signed_grid(shown, words, 1.0, theme(), "relative"),
        config={"displayModeBar": False},
        key="gradients.attribution",
        alt=f"What speaks for {label} (positive) and against it; columns: "
        + ", ".join(TITLES.values()),
    )
    st.caption(
        "Positive: speaks for the class. Summed over channels, each tile relative to its own 98th "
        "percentile, because the methods have different units. Baseline of Integrated Gradients, "
        "Occlusion and DeepLift: mid-grey. An empty tile: the method does not apply, see below."
    )
    picture = charts.picture_bytes(charts.signed_colours(np.nan_to_num(shown), 1.0))
    names = np.array([info.name for info in models])
    data = measure.npz(maps=maps, models=names, methods=np.array(measure.METHODS))
    offer(data, picture, "attribution")


def _tell_reasons(reasons: Sequence[dict[str, str]], models: Sequence[CheckpointInfo]) -> None:
    lines = []
    for info, found in zip(models, reasons, strict=True):
        for reason in dict.fromkeys(found.values()):
            methods = [TITLES[method] for method, said in found.items() if said == reason]
            verb = "does" if len(methods) == 1 else "do"
            lines.append(
                f"- {', '.join(methods)} {verb} not apply to **{short_name(info)}**: {reason}."
            )
    if lines:
        st.markdown("\n".join(lines))


def _show_trust(
    models: Sequence[CheckpointInfo], image: ChosenImage, label: int, asked: tuple
) -> None:
    st.subheader("How far to believe them", anchor=False)
    if wanted("Test the maps", seconds(models, TRUST_PASSES, 16), "gradients.trust.run"):
        st.session_state["gradients.trust.asked"] = asked
    if st.session_state.get("gradients.trust.asked") == asked:
        with st.spinner("Perturbing image and maps …"):
            found = {short_name(info): measure.trusts(info, image.x, label) for info in models}
        rows = []
        for name, trusts in found.items():
            for title, number in (("infidelity", "infidelity"), ("sensitivity", "sensitivity")):
                cells = [
                    f"{getattr(trusts[method], number):.3g}" if method in trusts else "–"
                    for method in measure.METHODS
                ]
                rows.append(f"| {name}, {title} | " + " | ".join(cells) + " |")
        head = "| Model | " + " | ".join(TITLES.values()) + " |\n" + "|---" * 9 + "|"
        st.markdown("\n".join([head, *rows]))
        stochastic = [name for name, trusts in found.items() if not trusts]
        if stochastic:
            st.caption(f"No numbers for {', '.join(stochastic)}: two passes differ by themselves.")
    st.caption(READING)
