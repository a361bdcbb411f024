"""The quick verdict: cheap checks first, no more after the first alarm, limits that hold."""

import time

import pytest
import torch

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.evaluation.finding import Severity
from robust_core.evaluation.pace import Pace, measured_pace
from robust_core.evaluation_runs import EvaluationPlan, run_evaluation
from robust_core.evaluation_runs.pieces import Unit, units_of
from robust_core.evaluation_runs.quick import ADAPTIVE_SECONDS, CHECK_SECONDS, quick_plan
from robust_core.evaluation_runs.units import plan_cost, plan_seconds
from tests.evaluation_runs.plans import make_plan
from tests.toys import LinearModel, middle_images

SHIPPED = ["digits-masked", "digits-pgd_at", "digits-ciiv", "digits-atld:imt", "shapes-ciiv"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_plan_is_announced_to_end_in_two_minutes_however_slow_the_model(name: str) -> None:
    info = checkpoint_info(name)
    plan = quick_plan([info])
    number = plan.num_images
    assert number is not None
    assert [one.name for one in plan.attacks] == ["pgd", "adaptive"]
    checked = [one.attack for one in units_of(plan, 0, number) if one.kind == "reliability"]
    assert checked == [0]
    slow = Pace(3e-3, 1.3e-3)  # shapes-ciiv on one core
    seconds = plan_seconds(plan, number, slow, stochastic=info.stochastic)
    assert seconds < 100
    fast = plan_seconds(plan, number, Pace(1e-6, 1e-6), stochastic=info.stochastic)
    assert fast < seconds
    assert EvaluationPlan.create(plan.model_dump(mode="json")) == plan


def test_limits_bound_the_estimate_and_queries_cost_less_than_passes() -> None:
    plan = quick_plan([checkpoint_info("digits-pgd_at")])
    endless = plan_seconds(plan, 32, Pace(1e3, 0.0))
    assert endless == pytest.approx(32 * 20 * 1e3 + CHECK_SECONDS + ADAPTIVE_SECONDS)
    square = make_plan(
        checkpoints=["x"],
        attacks=[{"name": "square", "parameters": {"num_queries": 100}}],
    )
    assert plan_seconds(square, 10, Pace(1e3, 1.0)) == pytest.approx(plan_cost(square, 10))


def test_the_pace_is_measured_without_a_trace() -> None:
    model, x = LinearModel().train(), middle_images(3)
    torch.manual_seed(7)
    found = measured_pace(model, x)
    assert 0 < found.seconds_per_query < 0.1
    assert 0 < found.seconds_per_pass < 0.1
    assert model.training
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1))


@pytest.mark.slow
def test_a_masked_model_is_refuted_before_the_costly_checks() -> None:
    info = checkpoint_info("digits-masked")
    quick = quick_plan([info])
    first = quick.attacks[0]
    plan = quick.model_copy(update={"attacks": (first,), "precision": "float32"})
    started = time.perf_counter()
    (result,) = run_evaluation(plan).results().checkpoints
    assert time.perf_counter() - started < 30
    report = result.attacks[0].report
    *before, alarm = report.findings
    assert alarm.severity is Severity.FAIL
    assert all(one.severity is not Severity.FAIL for one in before)
    assert "black_box" not in {one.name for one in report.findings}
    (note,) = report.notes
    assert note.startswith("the checks stopped at the first that failed; not run: ")
    assert "gradient-free attacks" in note
    assert result.headline(running=True).startswith("Not real so far: ")


def test_units_of_other_plans_are_all_checked() -> None:
    plan = make_plan(check_reliability=True)
    checked = [one for one in units_of(plan, 0, 50) if one.kind == "reliability"]
    assert checked == [Unit(0, "reliability", 0, 0), Unit(0, "reliability", 1, 0)]
