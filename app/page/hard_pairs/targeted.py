"""Success of targeted attacks from each class to each other class, behind a button."""

import streamlit as st

from app.page.hard_pairs import map_charts, measure
from app.page.hard_pairs.measure import MOST_TARGETED
from app.ui.plain import in_markdown
from app.ui.units import count_words, percent
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.analysis.hard_classes import TargetedOutcome
from robust_core.checkpoints.catalog import CheckpointInfo


def show_targeted(run: ConfusionRun, info: CheckpointInfo) -> None:
    """Draw the success of targeted attacks, compared with the result of the untargeted one."""
    st.markdown(
        "An untargeted attack ends in only one wrong class. Here every image is attacked towards "
        "**every** other class."
    )
    number = min(MOST_TARGETED, len(run.images))
    teaser = f"Attacks {count_words(number, 'image')} towards {info.num_classes - 1} targets each."
    outcome = measure.targeted(info, run, number, teaser)
    if outcome is not None:
        _draw(run, outcome, number, info)


def _draw(run: ConfusionRun, outcome: TargetedOutcome, number: int, info: CheckpointInfo) -> None:
    y, names = run.images.y[:number], info.class_names
    matrix = outcome.matrix(y)
    agrees = outcome.ends_at_easiest(y, run.attacked[:number])
    left, right = st.columns([1.6, 1], gap="large")
    best = matrix.nan_to_num(-1.0)
    i, j = divmod(int(best.argmax()), info.num_classes)
    with left:
        st.altair_chart(
            map_charts.confusion_map(
                matrix.numpy(), None, names, high=map_charts.largest_error(matrix.numpy())
            ),
            key="hard_pairs.targeted",
            alt=f"Targeted success rates; highest: {names[i]} to {names[j]}, "
            f"{percent(float(best[i, j]))}.",
        )
        st.caption(
            "Success rate in per cent from the class in the row to the target class in the column; "
            f"{count_words(number, 'image')} in all."
        )
    with right:
        any_target = outcome.success.any(dim=1).float().mean()
        st.metric(
            "Any target reached",
            percent(float(any_target)),
            help="Images for which at least one target is reached, including images that are "
            "misclassified without an attack.",
        )
        st.metric(
            "Untargeted attack reaches the easiest target",
            percent(float(agrees.float().mean())) if len(agrees) else "no image fooled",
            help="Of the images that the untargeted attack fools: share whose prediction is the "
            "target with the largest margin.",
        )
        st.markdown(
            f"Highest success rate: {percent(float(best[i, j]))}, from "
            f"**{in_markdown(names[i])}** to "
            f"**{in_markdown(names[j])}**."
            if float(best[i, j]) > 0
            else "No targeted attack succeeds."
        )
