"""Processes that share an evaluation find what one process finds."""

import subprocess
import sys
from typing import Any

import pytest

from robust_core.distributed import ProcessGroup
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationDirectory, run_evaluation
from robust_core.evaluation_runs.pieces import units_of
from tests.evaluation_runs.plans import curve, environment, make_plan, numbers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shelf")]


class Capturing(ProcessGroup):
    """A process of a group of two that meets the others in a test only."""

    def gather(self, value: Any) -> list[Any]:
        MET[self.rank] = value
        return [MET[rank] for rank in sorted(MET)] if self.is_main else []


MET: dict[int, Any] = {}


def test_each_process_does_its_own_batches_and_the_leader_merges_them(tmp_path) -> None:
    plan = make_plan(checkpoints=["tiny"])
    MET.clear()
    out_of_reach = EvaluationDirectory(tmp_path / "on another machine")
    run_evaluation(plan, out_of_reach, group=Capturing(1, 2))
    assert not out_of_reach.path.exists()
    expected = {unit.name for unit in units_of(plan, 0, 50) if unit.batch % 2 == 1}
    assert set(MET[1][2]) == expected
    run = run_evaluation(plan, EvaluationDirectory.create(plan), group=Capturing(0, 2))
    assert numbers(run.results()) == numbers(run_evaluation(plan).results())


@pytest.mark.parametrize(
    ("ending", "state"), [(("no memory", False, {}), "failed"), ((None, True, {}), "stopped")]
)
def test_the_leader_hears_how_the_others_ended(ending, state) -> None:
    MET.clear()
    MET[1] = ending
    run = EvaluationDirectory.create(make_plan(checkpoints=["tiny"]))
    if state == "failed":
        with pytest.raises(InputError, match="no memory"):
            run_evaluation(run=run, group=Capturing(0, 2))
    else:
        run_evaluation(run=run, group=Capturing(0, 2))
    assert run.status().state == state


def test_two_processes_under_torchrun_find_what_one_finds(tmp_path) -> None:
    plan = make_plan(checkpoints=["tiny"], **curve("epsilon", 0.02, 0.08))
    (tmp_path / "plan.json").write_text(plan.to_json())
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, "-m", "robust_core", "evaluate", "--quiet"]
    arguments = ["--plan", str(tmp_path / "plan.json"), "--directory", str(tmp_path / "shared")]
    subprocess.run([*command, *arguments], check=True, env=environment(), timeout=120)
    run = EvaluationDirectory(tmp_path / "shared")
    assert run.status().state == "finished"
    assert "10 of 10 units are left" in "\n".join(run.log_tail())
    assert numbers(run.results()) == numbers(run_evaluation(plan).results())
