import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust_core.acceleration.mode import Acceleration, current_acceleration
from robust_core.checkpoints.catalog import checkpoint_info, load_model, save_checkpoint
from robust_core.data import load_data
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation_runs import EvaluationDirectory, measurement, run_evaluation
from robust_core.evaluation_runs.pieces import Unit
from robust_core.methods.base import create_method
from tests.evaluation_runs.plans import ATTACKS, make_plan, numbers
from tests.training.conftest import tiny_config

pytestmark = pytest.mark.usefixtures("shelf")


@pytest.mark.slow
def test_results_are_those_of_evaluate_and_the_worst_case_is_per_image() -> None:
    results = run_evaluation(make_plan()).results()
    images = load_data("digits").sample(50)
    assert [one.name for one in results.checkpoints] == ["tiny", "other"]
    for one in results.checkpoints:
        survives = one.clean.clean_correct
        for found, choice in zip(one.attacks, results.plan.attacks, strict=True):
            model = load_model(one.name)
            expected = evaluate(model, images.x, images.y, choice.attack(), batch_size=16)
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
        assert one.image_id(3) == images.image_id(3)


@pytest.mark.slow
def test_images_that_one_attack_fools_alone_are_counted_among_those_it_fools() -> None:
    (one, *_) = run_evaluation(make_plan()).results().checkpoints
    labels = [found.label for found in one.attacks]
    robust = {found.label: found.report.robust_correct for found in one.attacks}
    for label in labels:
        fooled = {
            i for i in range(len(one.y)) if one.clean.clean_correct[i] and not robust[label][i]
        }
        assert set(one.fooled_by(label).tolist()) == fooled
        alone = {i for i in fooled if all(robust[other][i] for other in labels if other != label)}
        assert one.num_fooled_alone(label) == len(alone)


@pytest.mark.slow
def test_the_plans_seed_changes_the_attacks_seeds() -> None:
    first, second = (
        run_evaluation(make_plan(checkpoints=["tiny"], seed=seed)).results().checkpoints[0]
        for seed in (0, 3)
    )
    assert [one.report.attack.seed for one in first.attacks if one.report.attack] == [5, 0]
    assert [one.report.attack.seed for one in second.attacks if one.report.attack] == [8, 3]


@pytest.mark.slow
def test_the_plan_says_how_attacks_compute(monkeypatch) -> None:
    seen: list[Acceleration] = []
    measure = measurement.Measurement.measure

    def note(self: measurement.Measurement, unit: Unit) -> dict[str, Any]:
        seen.append(current_acceleration())
        return measure(self, unit)

    monkeypatch.setattr(measurement.Measurement, "measure", note)
    found = run_evaluation(make_plan(precision="bfloat16")).results()
    assert set(seen) == {Acceleration("bfloat16")}
    assert current_acceleration() == Acceleration()
    expected = run_evaluation(make_plan(precision="reference")).results()
    assert seen[-1] == Acceleration("reference")
    for mine, exact in zip(found.checkpoints, expected.checkpoints, strict=True):
        assert int((mine.worst_case != exact.worst_case).sum()) <= 1


@pytest.mark.slow
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
    assert row["image"] == load_data("digits").sample(50).image_id(7)
    assert int(row["label"]) == result.y[7]
    for found in result.attacks:
        assert int(row[f"{found.label} correct"]) == int(found.report.robust_correct[7])
        distance = float(row[f"{found.label} distance"])
        assert distance == pytest.approx(float(found.report.distance[7]), abs=1e-5)
    assert sum(int(one["worst_case correct"]) for one in rows) == int(result.worst_case.sum())
    with pytest.raises(InputError, match="has finished"):
        run_evaluation(run=run)


@pytest.mark.slow
def test_transfer_is_made_on_the_surrogate() -> None:
    transfer = ATTACKS[0] | {"surrogate": "other"}
    run = run_evaluation(make_plan(checkpoints=["tiny"], attacks=[ATTACKS[0], transfer]))
    white, black = run.results().checkpoints[0].attacks
    assert (white.label, black.label) == ("pgd", "pgd on other")
    images = load_data("digits").sample(50)
    expected = evaluate(
        load_model("tiny"),
        images.x,
        images.y,
        white.choice.attack(),
        batch_size=16,
        surrogate=load_model("other"),
    )
    assert torch.equal(black.report.robust_correct, expected.robust_correct)
    assert torch.equal(black.report.distance, expected.distance)


@pytest.mark.slow
def test_curves_and_findings_stand_beside_the_numbers(monkeypatch) -> None:
    finding = Finding("logits", Severity.FAIL, float("nan"), 0.0, "A sentence.", "Advice.")
    checked: list[int] = []

    def check(suspect: Any, **_: Any) -> list[Finding]:
        checked.append(len(suspect.x))
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


@pytest.mark.slow
def test_random_models_give_the_same_numbers_again(monkeypatch) -> None:
    monkeypatch.setattr(measurement, "load_model", lambda name: Noisy(load_model(name)))
    plan = make_plan(checkpoints=["tiny"])
    first, second = (numbers(run_evaluation(plan).results()) for _ in range(2))
    assert first == second
    assert first != numbers(run_evaluation(make_plan(checkpoints=["tiny"], seed=1)).results())


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


@pytest.mark.slow
def test_a_claim_is_crafted_on_one_inference_and_judged_on_another(shelf, monkeypatch) -> None:
    checked: list[tuple[bool, str]] = []

    def check(subject: Any, **_: Any) -> list[Finding]:
        checked.append((subject.surrogate is None, subject.inference))
        return []

    monkeypatch.setattr(measurement, "check_reliability", check)
    write_defended(shelf / "defended.safetensors", shelf / "tiny.safetensors")
    parameters = {"epsilon": 0.08, "num_steps": 3}
    claim = {"name": "pgd", "parameters": parameters, "surrogate": ":", "role": "claim"}
    plan = make_plan(
        checkpoints=["defended:imt"],
        attacks=[claim, {"name": "pgd", "parameters": parameters}],
        check_reliability=True,
        reliability_images=4,
    )
    assert plan.labels == ("pgd on the base network", "pgd")
    results = run_evaluation(plan).results()
    (result,) = results.checkpoints
    images = load_data("digits").sample(50)
    judged, network = load_model("defended:imt"), load_model("defended")
    for one, source in zip(result.attacks, (network, None), strict=True):
        expected = evaluate(
            judged, images.x, images.y, plan.attacks[1].attack(), batch_size=16, surrogate=source
        )
        assert torch.equal(one.report.robust_correct, expected.robust_correct)
    assert checked == [(False, "imt"), (True, "imt")]
    told = results.to_json()["results"][0]["attacks"][0]
    assert (told["surrogate"], told["role"]) == (":", "claim")
    with pytest.raises(InputError, match="unknown inference of defended 'imd'"):
        EvaluationDirectory.create(
            make_plan(checkpoints=["defended"], attacks=[claim | {"surrogate": ":imd"}])
        )
