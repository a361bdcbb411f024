"""The sentence on top: accuracy of a model as reported, the lowest measured, what that is worth."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.ui.plain import in_markdown
from robust_core.evaluation_runs import EvaluationResults

EXPLANATION = (
    "As reported: robust accuracy under the attack of the method's paper, or under the first "
    "attack. The lowest measured accuracy counts an image as correct only if it is so under all "
    "attacks here and in the checks; it still is an upper bound. Not real: a check of the reported "
    "number fails, or the lowest is over 10 points below it."
)
_LOOKS = {  # first words -> icon, colour
    "Not real": (":material/error:", "red"),
    "Not robust": (":material/lock_open:", "red"),
    "Overstated": (":material/warning:", "orange"),
    "Holds so far": (":material/shield:", "green"),
}
_OTHER = (":material/help:", "gray")


def show_headlines(results: EvaluationResults, *, active: bool) -> None:
    """Draw the sentence of each attacked model.

    Args:
        results: of the evaluation.
        active: whether more is still to come.
    """
    attacked = [one for one in results.checkpoints if one.attacks]
    for result in attacked:
        show_sentence(result.name, result.headline(running=active))
    if attacked:
        st.caption(EXPLANATION)


def show_sentence(name: str, sentence: str) -> DeltaGenerator:
    """Draw the sentence of a model in a frame and return the frame."""
    frame = st.container(border=True)
    verdict, _, why = sentence.partition(": ")
    icon, colour = next((look for word, look in _LOOKS.items() if verdict.startswith(word)), _OTHER)
    frame.markdown(
        f"**{in_markdown(name)}** :{colour}-badge[{icon} {in_markdown(verdict)}] {in_markdown(why)}"
    )
    return frame
