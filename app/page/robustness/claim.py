"""The one sentence on top: what is reported of a model, and what it is worth."""

import streamlit as st

from robust_core.evaluation_runs import EvaluationResults

EXPLANATION = (
    "As reported: attacked the way the method's paper did, or by the first attack. The lowest "
    "known accuracy counts every attack here and every attack of the checks, image by image; it "
    "is an upper bound in any case."
)


def show_headlines(results: EvaluationResults) -> None:
    """Draw the sentence of every model that was attacked."""
    attacked = [one for one in results.checkpoints if one.attacks]
    for result in attacked:
        with st.container(border=True):
            st.markdown(f"**{result.name}**: {result.headline}")
    if attacked:
        st.caption(EXPLANATION)
