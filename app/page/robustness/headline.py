"""The sentence on top: accuracy of a model as reported, and the lowest measured."""

import streamlit as st

from app.ui.plain import in_markdown
from robust_core.evaluation_runs import EvaluationResults

EXPLANATION = (
    "As reported: robust accuracy under the attack of the method's paper, or under the first "
    "attack. The lowest measured accuracy counts an image as correct only if it is so under all "
    "attacks here and in the checks; it still is an upper bound."
)


def show_headlines(results: EvaluationResults) -> None:
    """Draw the sentence of each attacked model."""
    attacked = [one for one in results.checkpoints if one.attacks]
    for result in attacked:
        with st.container(border=True):
            st.markdown(f"**{in_markdown(result.name)}**: {in_markdown(result.headline)}")
    if attacked:
        st.caption(EXPLANATION)
