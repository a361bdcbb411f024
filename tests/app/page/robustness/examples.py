"""The page Robustness on a checkpoint folder of the test's own, with a plan of seconds."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from robust_core import jobs
from robust_core.config.attack_run import AttackRun
from robust_core.evaluation.pace import Pace
from robust_core.evaluation_runs import (
    EvaluationDirectory,
    EvaluationPlan,
    PlannedCurve,
)
from tests.app.page_driver import open_view
from tests.pretended import pretend_processes
from tests.shelves import use_only

MODEL = "digits-standard"
STOCHASTIC_MODEL = "digits-ciiv"
BALL = {"norm": "Linf", "epsilon": 0.1}
PLAN = EvaluationPlan(
    checkpoints=(MODEL,),
    attacks=(
        AttackRun(name="fgsm", parameters=BALL),
        AttackRun(name="pgd", parameters={**BALL, "num_steps": 5}),
        AttackRun(name="square", parameters={**BALL, "num_queries": 3}),
    ),
    num_images=12,
    curves=(
        PlannedCurve(parameter="epsilon", values=(0.0, 0.05, 0.1)),
        PlannedCurve(parameter="num_steps", values=(1, 4)),
    ),
)


def use_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep evaluations in this folder for the length of a test and give them no process."""
    use_only(root, monkeypatch)
    pretend_processes(monkeypatch)
    monkeypatch.setattr("app.ui.job_controls.DOUBLE_CLICK", 0.0)
    monkeypatch.setattr("app.ui.models.seconds_per_pass", lambda info, batch_size=1: 0.001)
    monkeypatch.setattr("app.ui.models.pace", lambda info: Pace(0.001, 0.0003))


def open_page(**query: str) -> AppTest:
    return open_view("robustness", query)


def the_only_run() -> EvaluationDirectory:
    (summary,) = jobs.summaries(EvaluationDirectory)
    return jobs.find(EvaluationDirectory, summary.run_id)


def remove_all() -> None:
    for summary in jobs.summaries(EvaluationDirectory):
        jobs.delete(jobs.find(EvaluationDirectory, summary.run_id))
