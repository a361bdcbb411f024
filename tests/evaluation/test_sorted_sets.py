"""A data set that is sorted by class, through every door: a constant classifier is found out."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import robust_core as rc
from app.page.robustness.planning import Extent, make_plan
from robust_core.checkpoints.card import Card, versions
from robust_core.checkpoints.catalog import checkpoint_info, save_checkpoint
from robust_core.command_line.main import main
from robust_core.evaluation_runs import run_evaluation
from robust_core.models.base import create_model
from robust_core.paths import REPOSITORY
from robust_core.threat_model import Norm, ThreatModel
from tests.data.own_sets import write_npz
from tests.shelves import use_only
from tests.training.conftest import tiny_config

BALL = ThreatModel(Norm.LINF, 0.1)


@pytest.fixture
def constant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a checkpoint of a sorted set of 5 classes that always says the first class."""
    (tmp_path / "data").mkdir()
    (tmp_path / "checkpoints" / "pretrained").mkdir(parents=True)
    monkeypatch.setenv("ROBUST_DATA", str(tmp_path / "data"))
    use_only(tmp_path / "checkpoints", monkeypatch)
    write_npz(tmp_path / "data" / "sorted.npz")
    model = create_model("small_cnn", (1, 28, 28), 5, {"width": 4})
    with torch.no_grad():
        model.get_parameter("classifier.weight").zero_()
        model.get_parameter("classifier.bias").copy_(torch.tensor([1.0, 0, 0, 0, 0]))
    attack = {"name": "fgsm", "parameters": {}}
    result = {"attack": attack, "accuracy": 0.2, "interval": [0.1, 0.3], "num_images": 100}
    save_checkpoint(
        tmp_path / "checkpoints" / "pretrained" / "constant.safetensors",
        model,
        config=tiny_config(
            data={"name": "sorted"}, model={"name": "small_cnn", "parameters": {"width": 4}}
        ),
        class_names=tuple("01234"),
        epoch=1,
        card=Card.create(
            {
                "split": "test",
                "num_images": 100,
                "clean_accuracy": 0.2,
                "clean_interval": [0.1, 0.3],
                "robust": [result],
                "epoch": 1,
                "seed": 0,
                "versions": versions(),
            }
        ),
    )
    return "constant"


@pytest.mark.slow
def test_from_python(constant: str) -> None:
    model, images = rc.load_model(constant), rc.load_data("sorted")
    attack = rc.create_attack("pgd", epsilon=0.1, num_steps=2)
    sample = images.sample(20)
    assert rc.evaluate(model, sample.x, sample.y, attack).clean_accuracy == 0.2
    taken_by_hand = rc.evaluate(model, images.x[:20], images.y[:20], attack, check=True)
    assert taken_by_hand.clean_accuracy == 1.0
    assert "fail: " in taken_by_hand.checks and "classes" in taken_by_hand.checks


def test_from_the_command_line(constant: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    arguments = ["--model", constant, "--attack", "fgsm", "--num-images", "20"]
    assert main(["evaluate", *arguments, "--json", str(path)]) == 0
    (result,) = json.loads(path.read_text())["results"]
    assert result["clean_accuracy"] == 0.2
    assert sorted(result["labels"]) == [label for label in range(5) for _ in range(4)]


@pytest.mark.slow
def test_from_the_page(constant: str) -> None:
    extent = Extent(num_images=20, check_reliability=False)
    plan = make_plan([checkpoint_info(constant)], ["FGSM"], BALL, extent)
    (result,) = run_evaluation(plan).results().checkpoints
    assert result.clean.clean_accuracy == 0.2


@pytest.mark.slow
def test_a_card_is_measured_anew_on_a_stratified_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "masked.safetensors"
    shutil.copy(REPOSITORY / "checkpoints" / "pretrained" / "digits-masked.safetensors", path)
    values = json.loads((REPOSITORY / "checkpoints" / "recipes" / "digits-masked.json").read_text())
    attack = {"name": "pgd", "parameters": {"epsilon": 0.1, "num_steps": 5}}
    values["evaluation"] |= {
        "test_attack": attack,
        "test_num_images": 40,
        "further_attacks": [{"name": "bpda", "parameters": {"epsilon": 0.1, "num_steps": 10}}],
        "check_num_images": 20,
        "check_effort": 0.1,
    }
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(values))
    weights = rc.load_model(path).state_dict()
    assert main(["card", str(path), "--recipe", str(recipe)]) == 0
    assert "% as reported, at most" in capsys.readouterr().out
    card = checkpoint_info(path).card
    assert (card.sample, card.num_images) == ("stratified", 40)
    first, second = card.robust
    assert len(first.correct) == 40 and len(first.checked_correct) == 20
    assert {one.name for one in first.findings} >= {"through_defence", "black_box"}
    assert second.findings  # the lowest number is checked, too
    assert all(
        torch.equal(value, weights[key]) for key, value in rc.load_model(path).state_dict().items()
    )
    values["epochs"] += 1
    recipe.write_text(json.dumps(values))
    assert main(["card", str(path), "--recipe", str(recipe)]) == 2
    assert "is no recipe of" in capsys.readouterr().err
