"""How many images of a class an attack can turn into each other class; behind its own button."""

import streamlit as st

from app.page.hard_pairs import map_charts, measure
from app.page.hard_pairs.costly import Cost, after_button
from app.page.hard_pairs.measure import MOST_TARGETED, Study
from app.ui.units import count_words, percent
from robust_core.analysis.hard_classes import TargetedOutcome
from robust_core.checkpoints.catalog import CheckpointInfo


def show_targeted(study: Study, info: CheckpointInfo) -> None:
    """Draw the success of targeted attacks, and whether the untargeted one goes the easiest way."""
    st.markdown(
        "An untargeted attack takes the first way out. Here every image is steered towards "
        "**every** other class, which shows all ways out."
    )
    number = min(MOST_TARGETED, len(study.images))
    outcome = measure.known_targeted(info, study.plan)
    if outcome is None:
        attacks = number * (info.num_classes - 1)
        outcome = after_button(
            "Run targeted attacks",
            f"Steers {count_words(number, 'image')} to {info.num_classes - 1} targets each.",
            "Steers every image to every class",
            cost=Cost(
                attacks * study.attack.passes(), measure.seconds(info, study.attack, attacks)
            ),
            work=lambda check, report: measure.run_targeted(
                info, study.plan, check=check, on_share=report
            ),
        )
    if outcome is not None:
        _draw(study, outcome, number, info)


def _draw(study: Study, outcome: TargetedOutcome, number: int, info: CheckpointInfo) -> None:
    y, names = study.images.y[:number], info.class_names
    matrix = outcome.matrix(y)
    fallen = study.attacked[:number] != y
    agrees = (outcome.lead.argmax(dim=1) == study.attacked[:number])[fallen]
    left, right = st.columns([1.6, 1], gap="large")
    best = matrix.nan_to_num(-1.0)
    i, j = divmod(int(best.argmax()), info.num_classes)
    with left:
        st.altair_chart(
            map_charts.confusion_map(
                matrix.numpy(), None, names, high=map_charts.largest_error(matrix.numpy())
            ),
            key="hard_pairs.targeted",
            alt=f"Targeted success; the easiest way is {names[i]} to {names[j]}, {best[i, j]:.0%}.",
        )
        st.caption(
            f"Per cent of the class in the row, {count_words(number, 'image')} in all, that an "
            "attack turns into the class in the column."
        )
    with right:
        any_target = outcome.success.any(dim=1).float().mean()
        st.metric(
            "Can be turned into some class",
            percent(float(any_target)),
            help="Images for which at least one target is reached, those among them that are wrong "
            "without an attack included.",
        )
        st.metric(
            "Untargeted attack ends at the easiest target",
            percent(float(agrees.float().mean())) if len(agrees) else "none fell",
            help="Of the images that fell under the untargeted attack: its prediction is the "
            "target with the largest lead.",
        )
        st.markdown(
            f"The easiest way leads from **{names[i]}** to **{names[j]}**: "
            f"{percent(float(best[i, j]))} of the images."
            if float(best[i, j]) > 0
            else "No image can be turned into a chosen class."
        )
