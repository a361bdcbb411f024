"""An evaluation says how far it is, and ends the same where it was stopped, killed or damaged."""

import signal
import subprocess
import sys

import pytest

from robust_core.evaluation.check import Cost
from robust_core.evaluation.pace import Pace
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationStatus, run_evaluation
from robust_core.evaluation_runs.pieces import Unit
from robust_core.evaluation_runs.units import Clock
from tests.evaluation_runs.plans import ATTACKS, environment, make_plan, numbers

pytestmark = pytest.mark.usefixtures("shelf")


KILLED_CHILD = """
import os, signal, sys
from pathlib import Path
from robust_core.evaluation.batch import PassCounts
from robust_core.evaluation.check import Cost
from robust_core.evaluation_runs import EvaluationDirectory, measurement, run_evaluation

class Deadly(PassCounts):
    passes = 0
    def __init__(self, on_pass=None):
        super().__init__(self.count)
    def count(self):
        Deadly.passes += 1
        if Deadly.passes == 4 + 3 * 4 + 2:
            os.kill(os.getpid(), signal.SIGKILL)
measurement.PassCounts = Deadly
run_evaluation(run=EvaluationDirectory(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_sigkill_within_a_batch_then_resume_gives_the_same_numbers() -> None:
    plan = make_plan()
    run = EvaluationDirectory.create(plan)
    command = [sys.executable, "-c", KILLED_CHILD, str(run.path)]
    child = subprocess.run(command, check=False, env=environment())
    assert child.returncode == -signal.SIGKILL
    assert run.status().state == "lost"
    partial = run.results().checkpoints
    assert [(one.name, len(one.attacks)) for one in partial] == [("tiny", 0)]
    kept = {path: path.stat().st_mtime_ns for path in (run.path / "units").glob("*.json")}
    assert 4 < len(kept) < 8
    run_evaluation(run=run)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert numbers(run.results()) == numbers(run_evaluation(plan).results())


@pytest.mark.slow
def test_request_to_stop_is_heard_within_an_attack() -> None:
    run = EvaluationDirectory.create(
        make_plan(attacks=[{"name": "pgd", "parameters": {"num_steps": 9999}}])
    )
    seen: list[EvaluationStatus] = []

    def stop(status: EvaluationStatus) -> None:
        seen.append(status)
        if status.phase == "attack":
            run.request_stop()

    run_evaluation(run=run, on_progress=stop)
    status = run.status()
    assert status.state == "stopped"
    assert 0 <= status.share < 1
    assert not run.stop_requested()
    assert run.results().checkpoints[0].attacks == ()
    assert any("stopped on request" in line for line in run.log_tail())


@pytest.mark.slow
def test_progress_rises_and_names_what_is_done(monkeypatch) -> None:
    monkeypatch.setattr("robust_core.jobs.recorder.STATUS_INTERVAL", 0.0)
    seen: list[EvaluationStatus] = []
    run_evaluation(make_plan(), on_progress=seen.append)
    shares = [status.share for status in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {"tiny", "other"} <= {status.checkpoint for status in seen}
    assert {"pgd", "random_search"} <= {status.attack for status in seen}
    assert any(status.seconds_left for status in seen)


def test_clock_prices_what_is_left_by_its_own_kind() -> None:
    units = [Unit(0, "attack", attack, batch) for attack in (0, 1) for batch in (0, 1)]
    clock = Clock(dict.fromkeys(units, Cost(passes=10.0)), {})
    clock.set_pace(0, Pace(0.2, 0.1))
    assert clock.seconds_left() == pytest.approx(8.0)
    clock.note(units[0], 1.0)
    assert clock.seconds_left() == pytest.approx(1.0 + 2 * 2.0)
    clock.note(units[2], 5.0)
    assert clock.seconds_left() == pytest.approx(1.0 + 5.0)
    assert clock.share() == pytest.approx(0.5)
    assert clock.seconds_left(units[3], 2.0) == pytest.approx(1.0 + 3.0)
    assert clock.share(units[3], 2.0) == pytest.approx(8.0 / 12.0)
    late = clock.share(units[3], 100.0)
    assert 8.0 / 12.0 < late < clock.share(units[3], 200.0) < 1.0  # moves, however late it is
    assert clock.share(units[3], 3.0) == clock.share(units[3], 200.0)  # and never falls


def test_clock_knows_time_limits_and_prices_another_model_like_the_first() -> None:
    units = [Unit(place, "attack", 0, 0) for place in (0, 1)]
    clock = Clock(dict.fromkeys(units, Cost(queries=100.0)), {units[1]: 7.0})
    clock.set_pace(0, Pace(9.0, 0.1))
    assert clock.seconds_left() == pytest.approx(10.0 + 7.0)


@pytest.mark.slow
def test_progress_moves_and_a_stop_is_heard_within_the_checks(monkeypatch) -> None:
    monkeypatch.setattr("robust_core.evaluation_runs.evaluator.STATUS_INTERVAL", 0.0)
    monkeypatch.setattr("robust_core.jobs.recorder.STATUS_INTERVAL", 0.0)
    plan = make_plan(
        checkpoints=["tiny"],
        attacks=[{"name": "pgd", "parameters": {"epsilon": 0.05, "num_steps": 30}}],
        check_reliability=True,
        num_images=16,
    )
    run = EvaluationDirectory.create(plan)
    seen: list[EvaluationStatus] = []

    def stop(status: EvaluationStatus) -> None:
        seen.append(status)
        if status.check == "A longer attack" and seen[-1].passes > seen[-2].passes:
            run.request_stop()

    run_evaluation(run=run, on_progress=stop)
    assert run.status().state == "stopped"
    checking = [status for status in seen if status.phase == "reliability"]
    assert len({status.check for status in checking}) > 8
    assert len({status.passes for status in checking}) > 50
    assert [one.share for one in seen] == sorted(one.share for one in seen)
    assert checking[-1].check == "A longer attack"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"digest": "another"}'])
@pytest.mark.slow
def test_damaged_or_foreign_units_are_done_again(content) -> None:
    plan = make_plan(checkpoints=["tiny"])
    run = run_evaluation(plan)
    expected = numbers(run.results())
    (run.path / "units" / "0-attack-0-1.json").write_bytes(content)
    (run.path / "units" / "0-clean-2.json").unlink()
    run.write_status(EvaluationStatus("stopped"))
    assert run.results().checkpoints == ()
    run_evaluation(run=run)
    assert numbers(run.results()) == expected


@pytest.mark.slow
def test_a_checkpoint_that_has_changed_is_measured_again(shelf) -> None:
    run = run_evaluation(make_plan())
    before = run.results()
    (shelf / "other.safetensors").write_bytes((shelf / "tiny.safetensors").read_bytes())
    run.write_status(EvaluationStatus("stopped"))
    run_evaluation(run=run)
    after = run.results()
    digests = [[one.digest for one in found.checkpoints] for found in (before, after)]
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]
    assert numbers(after) == numbers(run_evaluation(make_plan()).results())


@pytest.mark.slow
def test_a_surrogate_that_has_changed_is_attacked_again(shelf) -> None:
    plan = make_plan(checkpoints=["tiny"], attacks=[ATTACKS[0] | {"surrogate": "other"}])
    run = run_evaluation(plan)
    before = numbers(run.results())
    (shelf / "other.safetensors").write_bytes((shelf / "tiny.safetensors").read_bytes())
    run.write_status(EvaluationStatus("stopped"))
    run_evaluation(run=run)
    assert numbers(run.results()) == numbers(run_evaluation(plan).results()) != before
