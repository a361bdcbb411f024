"""The quick verdict: one button, about two minutes a model."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from app.page.robustness.cost import expected_seconds
from app.page.robustness.link import select_evaluation
from app.ui.job_controls import start
from app.ui.units import duration_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation_runs import EvaluationPlan
from robust_core.evaluation_runs.quick import quick_plan
from robust_core.threat_model import ThreatModel

HELP = (
    "Is it real? PGD on a few images, then its reliability checks, the cheap ones first, until "
    "the first that fails; then the adaptive attack with a time limit. Nothing found is no proof."
)


def offer_quick_verdict(infos: Sequence[CheckpointInfo], threat_model: ThreatModel) -> None:
    """Draw the button of the form that starts the quick verdict, with the time that it takes.

    Args:
        infos: the models, at least one.
        threat_model: norm and epsilon.
    """
    plan = quick_plan(infos, threat_model)
    seconds = expected_seconds(plan, infos)
    about = "" if seconds is None else f": about {duration_words(seconds)}"
    _start_button(plan, f"Quick verdict{about}", "stretch", "form")


def offer_quick_verdict_on(info: CheckpointInfo) -> None:
    """Draw the button that starts the quick verdict on a stored example."""
    _start_button(quick_plan([info]), "Quick verdict", "content", info.name)


def _start_button(
    plan: EvaluationPlan, label: str, width: Literal["stretch", "content"], key: str
) -> None:
    pressed = st.button(
        label, icon=":material/gavel:", help=HELP, width=width, key=f"robustness.quick.{key}"
    )
    if pressed:
        start("robustness", plan, select_evaluation)
        st.rerun()
