import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust_core.data import load_data
from robust_core.engine import Engine, current_engine
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import evaluate
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation_runs import (
    EvaluationDirectory,
    EvaluationPlan,
    EvaluationResults,
    EvaluationStatus,
    create_evaluation,
    measurement,
    run_evaluation,
)
from robust_core.evaluation_runs.units import Clock, Unit, units_of
from robust_core.methods.base import create_method
from robust_core.paths import REPOSITORY
from robust_core.team import Team
from robust_core.training.checkpoint import checkpoint_info, load_model, save_checkpoint
from tests.evaluation.checkpoints import write_checkpoint
from tests.training.conftest import tiny_config


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / "tiny.safetensors", seed=0)
    write_checkpoint(folder / "other.safetensors", seed=1)
    return folder


@pytest.fixture(autouse=True)
def shelf(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints: "tiny" and "other"."""
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    return shutil.copytree(models, tmp_path / "pretrained")


ATTACKS: list[dict[str, Any]] = [
    {"name": "pgd", "parameters": {"epsilon": 0.08, "num_steps": 3, "seed": 5}},
    {"name": "random_search", "parameters": {"epsilon": 0.08, "num_queries": 4}},
]


def make_plan(**changes: Any) -> EvaluationPlan:
    values = {"checkpoints": ["tiny", "other"], "attacks": ATTACKS, "num_images": 50}
    return EvaluationPlan.create({**values, "batch_size": 16, **changes})


def numbers(results: EvaluationResults) -> Any:
    """Everything that was found, without what it took."""
    text = json.dumps(results.to_json())
    return json.loads(text, object_hook=without_seconds)


def without_seconds(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "seconds"}


def test_results_are_those_of_evaluate_and_the_worst_case_is_per_image() -> None:
    results = run_evaluation(make_plan()).results()
    images = load_data("digits").subset(slice(50))
    assert [one.name for one in results.checkpoints] == ["tiny", "other"]
    for one in results.checkpoints:
        survives = one.clean.clean_correct
        for found, choice in zip(one.attacks, results.plan.attacks, strict=True):
            model = load_model(one.name)
            expected = evaluate(model, images.x, images.y, choice.create(), batch_size=16)
            report = found.report
            assert torch.equal(report.prediction, expected.prediction)
            assert torch.equal(report.robust_correct, expected.robust_correct)
            assert torch.equal(report.distance, expected.distance)
            assert torch.equal(report.attacked_prediction, expected.attacked_prediction)
            assert report.backward_passes == expected.backward_passes
            assert report.attack == expected.attack
            survives = survives & expected.robust_correct
        assert torch.equal(one.worst_case, survives)
        weakest = min(found.report.robust_accuracy for found in one.attacks)
        assert one.worst_case_accuracy <= weakest < one.clean.clean_accuracy
        low, high = one.worst_case_interval
        assert low <= one.worst_case_accuracy <= high
        assert one.image_id(3) == "digits/test/3"


def test_the_plans_seed_changes_the_attacks_seeds() -> None:
    first, second = (
        run_evaluation(make_plan(checkpoints=["tiny"], seed=seed)).results().checkpoints[0]
        for seed in (0, 3)
    )
    assert [one.report.attack.seed for one in first.attacks if one.report.attack] == [5, 0]
    assert [one.report.attack.seed for one in second.attacks if one.report.attack] == [8, 3]


def test_the_plan_says_how_attacks_compute(monkeypatch) -> None:
    seen: list[Engine] = []
    measure = measurement.Measurement.measure

    def note(self: measurement.Measurement, unit: Unit) -> dict[str, Any]:
        seen.append(current_engine())
        return measure(self, unit)

    monkeypatch.setattr(measurement.Measurement, "measure", note)
    found = run_evaluation(make_plan(precision="bfloat16")).results()
    assert set(seen) == {Engine("bfloat16")}
    assert current_engine() == Engine()
    expected = run_evaluation(make_plan(precision="reference")).results()
    assert seen[-1] == Engine("reference")
    for mine, exact in zip(found.checkpoints, expected.checkpoints, strict=True):
        assert int((mine.worst_case != exact.worst_case).sum()) <= 1


def test_finished_directory_holds_json_and_csv() -> None:
    run = run_evaluation(make_plan(checkpoints=["tiny"]))
    status = run.status()
    assert (status.state, status.share, status.seconds_left) == ("finished", 1.0, None)
    stored = json.loads((run.path / "results.json").read_text())
    assert stored == json.loads(json.dumps(run.results().to_json()))
    rows = list(csv.DictReader(io.StringIO((run.path / "results.csv").read_text())))
    result = run.results().checkpoints[0]
    assert len(rows) == 50
    row = rows[7]
    assert row["image"] == "digits/test/7"
    assert int(row["label"]) == result.y[7]
    for found in result.attacks:
        assert int(row[f"{found.label} correct"]) == int(found.report.robust_correct[7])
        distance = float(row[f"{found.label} distance"])
        assert distance == pytest.approx(float(found.report.distance[7]), abs=1e-5)
    assert sum(int(one["worst_case correct"]) for one in rows) == int(result.worst_case.sum())
    with pytest.raises(InputError, match="has finished"):
        run_evaluation(run=run)


KILLED_CHILD = """
import os, signal, sys
from pathlib import Path
from robust_core.evaluation.batch import PassCounts
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


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    threads = str(torch.get_num_threads())
    return {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": path}


def test_sigkill_within_a_batch_then_resume_gives_the_same_numbers() -> None:
    plan = make_plan()
    run = create_evaluation(plan)
    command = [sys.executable, "-c", KILLED_CHILD, str(run.path)]
    child = subprocess.run(command, check=False, env=environment())
    assert child.returncode == -signal.SIGKILL
    assert run.status().state == "running"
    assert run.status(lost_after=0.0).state == "lost"
    partial = run.results().checkpoints
    assert [(one.name, len(one.attacks)) for one in partial] == [("tiny", 0)]
    kept = {path: path.stat().st_mtime_ns for path in (run.path / "units").glob("*.json")}
    assert 4 < len(kept) < 8
    run_evaluation(run=run)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert numbers(run.results()) == numbers(run_evaluation(plan).results())


def test_request_to_stop_is_heard_within_an_attack() -> None:
    run = create_evaluation(make_plan(attacks=[{"name": "pgd", "parameters": {"num_steps": 9999}}]))
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


def test_progress_rises_and_names_what_is_done(monkeypatch) -> None:
    monkeypatch.setattr("robust_core.training.work_directory.STATUS_INTERVAL", 0.0)
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
    clock = Clock(dict.fromkeys(units, 10.0))
    assert clock.seconds_left() is None
    clock.note(units[0], 1.0)
    assert clock.seconds_left() == pytest.approx(3.0)
    clock.note(units[2], 5.0)
    assert clock.seconds_left() == pytest.approx(1.0 + 5.0)
    assert clock.share() == pytest.approx(0.5)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"digest": "another"}'])
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


class Capturing(Team):
    """A process of a team of two that meets the others in a test only."""

    def gather(self, value: Any) -> list[Any]:
        MET[self.rank] = value
        return [MET[rank] for rank in sorted(MET)] if self.leads else []


MET: dict[int, Any] = {}


def test_each_process_does_its_own_batches_and_the_leader_merges_them(tmp_path) -> None:
    plan = make_plan(checkpoints=["tiny"])
    MET.clear()
    out_of_reach = EvaluationDirectory(tmp_path / "on another machine")
    run_evaluation(plan, out_of_reach, team=Capturing(1, 2))
    assert not out_of_reach.path.exists()
    expected = {unit.name for unit in units_of(plan, 0, 50) if unit.batch % 2 == 1}
    assert set(MET[1][2]) == expected
    run = run_evaluation(plan, create_evaluation(plan), team=Capturing(0, 2))
    assert numbers(run.results()) == numbers(run_evaluation(plan).results())


@pytest.mark.parametrize(
    ("ending", "state"), [(("no memory", False, {}), "failed"), ((None, True, {}), "stopped")]
)
def test_the_leader_hears_how_the_others_ended(ending, state) -> None:
    MET.clear()
    MET[1] = ending
    run = create_evaluation(make_plan(checkpoints=["tiny"]))
    if state == "failed":
        with pytest.raises(InputError, match="no memory"):
            run_evaluation(run=run, team=Capturing(0, 2))
    else:
        run_evaluation(run=run, team=Capturing(0, 2))
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


def test_transfer_is_made_on_the_surrogate() -> None:
    transfer = ATTACKS[0] | {"surrogate": "other"}
    run = run_evaluation(make_plan(checkpoints=["tiny"], attacks=[ATTACKS[0], transfer]))
    white, black = run.results().checkpoints[0].attacks
    assert (white.label, black.label) == ("pgd", "pgd on other")
    images = load_data("digits").subset(slice(50))
    expected = evaluate(
        load_model("tiny"),
        images.x,
        images.y,
        white.choice.create(),
        batch_size=16,
        surrogate=load_model("other"),
    )
    assert torch.equal(black.report.robust_correct, expected.robust_correct)
    assert torch.equal(black.report.distance, expected.distance)


def test_a_surrogate_that_has_changed_is_attacked_again(shelf) -> None:
    plan = make_plan(checkpoints=["tiny"], attacks=[ATTACKS[0] | {"surrogate": "other"}])
    run = run_evaluation(plan)
    before = numbers(run.results())
    (shelf / "other.safetensors").write_bytes((shelf / "tiny.safetensors").read_bytes())
    run.write_status(EvaluationStatus("stopped"))
    run_evaluation(run=run)
    assert numbers(run.results()) == numbers(run_evaluation(plan).results()) != before


def test_curves_and_findings_stand_beside_the_numbers(monkeypatch) -> None:
    finding = Finding("logits", Severity.FAIL, float("nan"), 0.0, "A sentence.", "Advice.")
    checked: list[int] = []

    def check(suspect: Any, *, on_finding: Callable[[Finding], None]) -> list[Finding]:
        checked.append(len(suspect.x))
        on_finding(finding)
        return [finding]

    monkeypatch.setattr(measurement, "check_reliability", check)
    plan = make_plan(
        checkpoints=["tiny"],
        curves=[
            {"parameter": "num_steps", "values": [6, 1]},
            {"parameter": "epsilon", "values": [0.0, 0.04, 0.12]},
        ],
        check_reliability=True,
        reliability_images=6,
    )
    run = run_evaluation(plan)
    result = run.results().checkpoints[0]
    assert checked == [6, 6]
    for one in result.attacks:
        assert [found.sentence for found in one.report.findings] == ["A sentence."]
        assert one.report.findings[0].severity is Severity.FAIL
        radius = one.curves[-1]
        assert radius.values == (0.0, 0.04, 0.12)
        assert radius.accuracies[0] == result.clean.clean_accuracy
        for curve in one.curves:
            assert curve.accuracies == sorted(curve.accuracies, reverse=True)
        assert radius.accuracies[2] < result.clean.clean_accuracy or one.label != "pgd"
    pgd, search = result.attacks
    assert [curve.parameter for curve in pgd.curves] == ["num_steps", "epsilon"]
    assert [curve.parameter for curve in search.curves] == ["epsilon"]  # it takes no steps
    assert pgd.curves[0].values == (1.0, 6.0)
    stored = json.loads((run.path / "results.json").read_text())
    assert stored["results"][0]["attacks"][0]["findings"][0]["value"] is None


class Noisy(nn.Module):
    """A model that answers differently each time."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.num_classes = model.num_classes
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + 0.3 * torch.randn_like(x))


def test_random_models_give_the_same_numbers_again(monkeypatch) -> None:
    monkeypatch.setattr(measurement, "load_model", lambda name: Noisy(load_model(name)))
    plan = make_plan(checkpoints=["tiny"])
    first, second = (numbers(run_evaluation(plan).results()) for _ in range(2))
    assert first == second
    assert first != numbers(run_evaluation(make_plan(checkpoints=["tiny"], seed=1)).results())


def test_plan_is_strict_json_with_defaults_written_out(tmp_path) -> None:
    plan = make_plan(attacks=[*ATTACKS, ATTACKS[0]], data={"name": "digits"})
    (tmp_path / "plan.json").write_text(plan.to_json())
    assert EvaluationPlan.from_json(tmp_path / "plan.json") == plan
    assert plan.attacks[0].parameters["num_restarts"] == 1
    assert plan.labels == ("pgd", "random_search", "pgd (2)")


def curve(parameter: str, *values: float) -> dict[str, Any]:
    return {"curves": [{"parameter": parameter, "values": values}]}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"checkpoints": []}, "checkpoints should"),
        ({"checkpoints": ["tiny", "tiny"]}, "'tiny' twice"),
        ({"attacks": [{"name": "pdg"}]}, "did you mean 'pgd'?"),
        ({"attacks": [{"name": "pgd", "parameters": {"epsilon": 8}}]}, "did you mean 8/255?"),
        ({"data": {"name": "digit"}}, "did you mean 'digits'?"),
        (curve("epsilon", 0.1, 2.0), r"epsilon must be in \[0, 1\] for Linf, got 2"),
        (curve("num_steps", 0), "num_steps must be >= 1, got 0"),
        (curve("num_steps", 1.5), "num_steps should be a valid integer"),
        (curve("loss", 1), "parameter must be one of"),
        ({"attacks": [], **curve("epsilon", 0.1)}, "no attack of the plan has epsilon"),
        (
            {"attacks": [{"name": "autoattack"}], **curve("eot_samples", 20)},
            "no attack of the plan has eot_samples",
        ),
        ({"curves": 2 * curve("epsilon", 0.1)["curves"]}, "got epsilon twice"),
        (
            {"attacks": [ATTACKS[0] | {"surrogate": "other", "crafted_on": ""}]},
            "made on one model",
        ),
        ({"num_images": 0}, "num_images must be >= 1, got 0"),
        ({"speed": 1}, "unknown parameter 'speed'"),
    ],
)
def test_wrong_plans_are_one_sentence(changes, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        make_plan(**changes)


def test_what_does_not_exist_or_fit_is_one_sentence(tmp_path) -> None:
    with pytest.raises(InputError, match="unknown checkpoint 'tiyn'"):
        create_evaluation(make_plan(checkpoints=["tiyn"]))
    with pytest.raises(InputError, match="unknown checkpoint 'none'"):
        create_evaluation(make_plan(attacks=[ATTACKS[0] | {"surrogate": "none"}]))
    with pytest.raises(InputError, match="a plan or a directory"):
        run_evaluation()
    shapes = {"name": "shapes"}
    run = create_evaluation(make_plan(data=shapes))
    with pytest.raises(InputError, match="tiny takes images 1x32x32 of 10 classes, but shapes has"):
        run_evaluation(run=run)
    assert run.status().state == "failed"
    with pytest.raises(InputError, match="should be an evaluation directory"):
        run_evaluation(run=EvaluationDirectory(tmp_path / "none"))


def write_defended(path: Path, source: Path) -> None:
    """Write the network of `source` with a defence at test time, whose weights are random."""
    info, model = checkpoint_info(source), load_model(source)
    config = tiny_config(
        model=info.config.model.model_dump(), method={"name": "atld", "parameters": {}}
    )
    torch.manual_seed(0)
    method = create_method("atld", config.method.parameters)
    method.attach(model)
    names = info.class_names
    save_checkpoint(
        path, model, config=config, method=method, class_names=names, epoch=1, card=info.card
    )


def test_a_claim_is_crafted_on_one_inference_and_judged_on_another(shelf, monkeypatch) -> None:
    checked: list[tuple[bool, str]] = []

    def check(subject: Any, *, on_finding: Callable[[Finding], None]) -> list[Finding]:
        checked.append((subject.crafted_on is None, subject.inference))
        return []

    monkeypatch.setattr(measurement, "check_reliability", check)
    write_defended(shelf / "defended.safetensors", shelf / "tiny.safetensors")
    parameters = {"epsilon": 0.08, "num_steps": 3}
    claim = {"name": "pgd", "parameters": parameters, "crafted_on": "", "role": "claim"}
    plan = make_plan(
        checkpoints=["defended:imt"],
        attacks=[claim, {"name": "pgd", "parameters": parameters}],
        check_reliability=True,
        reliability_images=4,
    )
    assert plan.labels == ("pgd on the network itself", "pgd")
    results = run_evaluation(plan).results()
    (result,) = results.checkpoints
    images = load_data("digits").subset(slice(50))
    judged, network = load_model("defended:imt"), load_model("defended")
    for one, source in zip(result.attacks, (network, None), strict=True):
        expected = evaluate(
            judged, images.x, images.y, plan.attacks[1].create(), batch_size=16, surrogate=source
        )
        assert torch.equal(one.report.robust_correct, expected.robust_correct)
    assert checked == [(False, "imt"), (True, "imt")]
    told = results.to_json()["results"][0]["attacks"][0]
    assert (told["crafted_on"], told["role"]) == ("", "claim")
    with pytest.raises(InputError, match="unknown inference of defended 'imd'"):
        create_evaluation(
            make_plan(checkpoints=["defended"], attacks=[claim | {"crafted_on": "imd"}])
        )
