"""The button that runs the attack that the advice of a finding names."""

import streamlit as st

from app.page.robustness.link import select_evaluation
from app.ui.job_controls import start
from app.ui.plain import in_markdown
from app.ui.units import count_words
from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding
from robust_core.evaluation_runs import AttackResult, CheckpointResult, EvaluationResults
from robust_core.evaluation_runs.follow_up import follow_up


def offer_next(
    results: EvaluationResults,
    result: CheckpointResult,
    checked: AttackResult,
    finding: Finding,
    key: str,
) -> None:
    """Draw the button "Run Square, 1,000 queries on all 100 images"; nothing where it cannot be.

    Args:
        results: of the evaluation.
        result: of the model.
        checked: the attack whose accuracy was checked.
        finding: of a check of it.
        key: of the findings, unique on the page.
    """
    try:
        plan = follow_up(results.plan, result.name, checked.label, finding)
    except InputError:  # the model or its data set is gone
        return
    if plan is None:
        return
    following = plan.attacks[-1]
    source = f" from {following.surrogate_words}" if following.surrogate else ""
    images = count_words(len(result.y), "image")
    pressed = st.button(
        f"Run {in_markdown(following.words + source)} on all {images}",
        icon=":material/play_arrow:",
        help="Starts an evaluation of this model with the checked attack and this one.",
        key=f"{key}.next.{finding.name}",
    )
    if pressed:
        start("robustness", plan, select_evaluation)
        st.rerun()
