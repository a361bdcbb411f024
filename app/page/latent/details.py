"""Below the map: layers, accuracy on the way, the discriminator's scores, and the uses of IMT."""

from collections.abc import Callable

import streamlit as st

from app.page.latent import charts
from app.page.latent.layers import show_layers
from app.page.latent.steps import show_steps
from app.page.latent.survey import Survey, accuracy_path, has_discriminator
from app.page.latent.uses import show_uses
from app.ui.units import percent
from robust_core.analysis.latent import divergence_bound, score_histogram
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.inference.manifold_transformation import UNDECIDED
from robust_core.models.discriminator import detection_auroc

NUM_BINS = 20
PLAIN = {"displayModeBar": False}
NO_DISCRIMINATOR = (
    "This model has no discriminator, so there is no score and no transformation to show: train "
    "one by the method **atld** on the page Train, or choose a model that was."
)


def show_details(info: CheckpointInfo, survey: Survey, attack: Attack) -> None:
    """Draw the tabs; each is computed when it is opened."""
    panels = {
        "Layer by layer": lambda: show_layers(info, survey),
        "On the way": lambda: _show_way(info, survey),
        "Discriminator": lambda: _show_scores(info, survey),
        "ATLD-, ATLD, ATLD+": lambda: _show_attacked(show_uses, info, survey, attack),
        "Step size of IMT": lambda: _show_attacked(show_steps, info, survey, attack),
    }
    tabs = st.tabs(list(panels), key="latent.tabs", on_change="rerun")
    for tab, show in zip(tabs, panels.values(), strict=True):
        if tab.open:
            with tab:
                show()


def _show_way(info: CheckpointInfo, survey: Survey) -> None:
    points = accuracy_path(info, survey)
    stops = ["x", "x_adv", "transformed"][: round(points[-1].position) + 1]
    st.plotly_chart(
        charts.accuracy_line(
            [point.position for point in points],
            [point.accuracy for point in points],
            [point.margin for point in points],
            stops,
        ),
        config=PLAIN,
        key="latent.way",
        alt="Accuracy on the way: "
        + ", ".join(
            f"{percent(point.accuracy)} at {stops[round(point.position)]}"
            for point in points
            if point.position == round(point.position)
        ),
    )
    st.caption(
        "Accuracy and mean margin (label's logit minus the best other) of the bare network on the "
        "straight way from the clean to the adversarial image"
        + (
            " and on to its transformation (IMT)."
            if has_discriminator(info)
            else "; models with a discriminator go on from there to the transformed image."
        )
    )


def _show_scores(info: CheckpointInfo, survey: Survey) -> None:
    if not survey.scores:
        st.info(NO_DISCRIMINATOR, icon=":material/help:")
        return
    found = {role: score_histogram(scores, NUM_BINS) for role, scores in survey.scores.items()}
    areas = {
        role: detection_auroc(survey.scores["clean"], scores)
        for role, scores in survey.scores.items()
        if role != "clean"
    }
    bounds = {role: divergence_bound(survey.scores["clean"], survey.scores[role]) for role in areas}
    chart, numbers = st.columns([2.4, 1], gap="medium")
    with chart:
        st.plotly_chart(
            charts.score_histograms(
                {role: share for role, (share, _) in found.items()}, found["clean"][1], UNDECIDED
            ),
            config=PLAIN,
            key="latent.scores",
            alt="Scores of the discriminator; AUROC against clean images: "
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
                help="AUROC: chance that a clean image scores higher than one of these; 0.5 knows "
                "nothing, 1 tells them apart. JS: what the scores prove about the Jensen-Shannon "
                "divergence of their logits from clean ones.",
            )
    st.caption(
        f"D0 of the bare network's logits. Between the thresholds {UNDECIDED[0]} and "
        f"{UNDECIDED[1]} the discriminator is undecided, and ATLD+ takes half a step only. "
        "JS ≥ log 2 − (BCE of clean + BCE of changed images) / 2, of at most log 2 = 0.69 nats, "
        f"with the 95 % interval of {len(survey.images)} test images, which the discriminator was "
        "not trained on. Zero or less proves nothing: it does not tell the two apart."
    )


def _show_attacked(
    show: Callable[[CheckpointInfo, Attack, int], None],
    info: CheckpointInfo,
    survey: Survey,
    attack: Attack,
) -> None:
    """Draw what attacks the transformation, if there is one."""
    if not has_discriminator(info):
        st.info(NO_DISCRIMINATOR, icon=":material/help:")
        return
    show(info, attack, len(survey.images))
