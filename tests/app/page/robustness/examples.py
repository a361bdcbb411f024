"""The page Robustness on a shelf of the test's own, with a plan of seconds."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.page.robustness import form
from robust_core import job_control
from robust_core.evaluation_runs import (
    EvaluationDirectory,
    EvaluationPlan,
    PlannedAttack,
    PlannedCurve,
)
from tests.app.page_driver import open_view

MODEL = "digits-standard"
RANDOM_MODEL = "digits-ciiv"
BALL = {"norm": "Linf", "epsilon": 0.1}
PLAN = EvaluationPlan(
    checkpoints=(MODEL,),
    attacks=(
        PlannedAttack(name="fgsm", parameters=BALL),
        PlannedAttack(name="pgd", parameters={**BALL, "num_steps": 5}),
        PlannedAttack(name="square", parameters={**BALL, "num_queries": 3}),
    ),
    num_images=12,
    curves=(
        PlannedCurve(parameter="epsilon", values=(0.0, 0.05, 0.1)),
        PlannedCurve(parameter="num_steps", values=(1, 4)),
    ),
)


def use_shelf(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep evaluations in this folder for the length of a test and give them no process."""
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(root))
    monkeypatch.setattr(job_control, "_launch", lambda run: None)
    monkeypatch.setattr(form, "DOUBLE_CLICK", 0.0)
    monkeypatch.setattr("app.ui.cached.seconds_per_pass", lambda info, batch_size=1: 0.001)


def open_page(**query: str) -> AppTest:
    return open_view("robustness", query)


def the_only_run() -> EvaluationDirectory:
    (summary,) = job_control.list_evaluations()
    return job_control.evaluation_directory(summary.run_id)


def remove_all() -> None:
    for summary in job_control.list_evaluations():
        job_control.delete_evaluation(summary.run_id)
