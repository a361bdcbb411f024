"""The button that brings the plan of a result back into the form."""

import streamlit as st

from app.page.robustness.link import show_in_form
from app.page.robustness.planning import Filled, filled
from app.ui import models
from app.ui.plain import in_markdown
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationPlan

HELP = "Fills the form on the left with the models, attacks, images and checks of this evaluation."


def show_edit(plan: EvaluationPlan, key: str) -> None:
    """Draw the button "Edit and run again".

    Args:
        plan: of the shown result.
        key: of the result, unique on the page.
    """
    shown: Filled | None = None
    words = HELP
    try:
        shown = filled(plan, models.checkpoints())
    except InputError as error:
        words = in_markdown(str(error))
    pressed = st.button(
        "Edit and run again",
        icon=":material/edit:",
        help=words,
        disabled=shown is None,
        on_click=show_in_form,
        args=(shown,),
        key=f"robustness.edit.{key}",
    )
    if pressed:
        st.rerun()  # the form is outside of what follows the evaluations
