"""Tabs below the map: layers, accuracy along the path, discriminator, inference modes."""

from collections.abc import Callable

import streamlit as st

from app.page.latent import charts
from app.page.latent.inference_modes import show_inference_modes
from app.page.latent.layers import show_layers
from app.page.latent.measure import KeptSample, accuracy_path, has_discriminator
from app.page.latent.steps import show_steps
from app.ui.charts import PLAIN_CHART
from app.ui.units import percent
from robust_core.analysis.latent import divergence_bound, score_histogram
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.inference.manifold_transformation import UNDECIDED
from robust_core.models.discriminator import detection_auroc

NUM_BINS = 20
NO_DISCRIMINATOR = (
    "This model has no discriminator, so there are no scores and no transformed images. Train one "
    "with the method **atld** on the page Train, or choose a model trained with it."
)


def show_details(info: CheckpointInfo, sample: KeptSample, attack: Attack) -> None:
    """Draw the tabs; each is computed when it is opened."""
    panels = {
        "Layers": lambda: show_layers(info, sample),
        "Along the path": lambda: _show_path(info, sample),
        "Discriminator": lambda: _show_scores(info, sample),
        "Inference modes": lambda: _show_attacked(show_inference_modes, info, sample, attack),
        "Step size of IMT": lambda: _show_attacked(show_steps, info, sample, attack),
    }
    tabs = st.tabs(list(panels), key="latent.tabs", on_change="rerun")
    for tab, show in zip(tabs, panels.values(), strict=True):
        if tab.open:
            with tab:
                show()


def _show_path(info: CheckpointInfo, sample: KeptSample) -> None:
    points = accuracy_path(info, sample)
    stops = ["clean", "adversarial", "transformed"][: round(points[-1].position) + 1]
    st.plotly_chart(
        charts.accuracy_line(
            [point.position for point in points],
            [point.accuracy for point in points],
            [point.margin for point in points],
            stops,
        ),
        config=PLAIN_CHART,
        key="latent.way",
        alt="Accuracy along the path: "
        + ", ".join(
            f"{percent(point.accuracy)} at {stops[round(point.position)]}"
            for point in points
            if point.position == round(point.position)
        ),
    )
    st.caption(
        "Accuracy and mean margin (logit of the label minus the largest other logit) of the base "
        "network on the straight line from the clean to the adversarial image"
        + (
            " and from there to the transformed image (IMT)."
            if has_discriminator(info)
            else "; for models with a discriminator, also on to the transformed image."
        )
    )


def _show_scores(info: CheckpointInfo, sample: KeptSample) -> None:
    if not sample.scores:
        st.info(NO_DISCRIMINATOR, icon=":material/help:")
        return
    found = {role: score_histogram(scores, NUM_BINS) for role, scores in sample.scores.items()}
    areas = {
        role: detection_auroc(sample.scores["clean"], scores)
        for role, scores in sample.scores.items()
        if role != "clean"
    }
    bounds = {role: divergence_bound(sample.scores["clean"], sample.scores[role]) for role in areas}
    chart, numbers = st.columns([2.4, 1], gap="medium")
    with chart:
        st.plotly_chart(
            charts.score_histograms(
                {role: share for role, (share, _) in found.items()}, found["clean"][1], UNDECIDED
            ),
            config=PLAIN_CHART,
            key="latent.scores",
            alt="Discriminator scores; AUROC against clean images: "
            + ", ".join(f"{role} {area:.2f}" for role, area in areas.items()),
        )
    with numbers:
        for role, area in areas.items():
            st.metric(
                f"AUROC, {role}",
                f"{area:.2f}",
                f"JS ≥ {round(bounds[role].value, 2) + 0.0:.2f} ± {bounds[role].margin:.2f} nats",
                delta_color="off",
                delta_arrow="off",
                help="AUROC: probability that a clean image scores higher than one of these. "
                "0.5 is chance, 1 is perfect separation. JS: lower bound of the Jensen-Shannon "
                "divergence between their logits and clean ones.",
            )
    st.caption(
        f"D0 of the logits of the base network. Between the thresholds {UNDECIDED[0]} and "
        f"{UNDECIDED[1]} the discriminator is undecided, and ATLD+ takes only half a step. "
        "JS ≥ log 2 − (BCE of clean + BCE of changed images) / 2, at most log 2 = 0.69 nats, with "
        f"the 95\u00a0% interval over {len(sample.images)} test images, which the discriminator "
        "was not trained on. A bound of zero or less proves nothing: the scores do not separate "
        "the two."
    )


def _show_attacked(
    show: Callable[[CheckpointInfo, Attack, int], None],
    info: CheckpointInfo,
    sample: KeptSample,
    attack: Attack,
) -> None:
    """Draw a view of attacks on the transformation, if there is one."""
    if not has_discriminator(info):
        st.info(NO_DISCRIMINATOR, icon=":material/help:")
        return
    show(info, attack, len(sample.images))
