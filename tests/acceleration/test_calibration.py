import json
from pathlib import Path

import pytest
import torch
from torch import nn

from robust_core.acceleration import calibration
from robust_core.acceleration.calibration import Calibration, calibrate
from robust_core.acceleration.mode import Acceleration, use_acceleration
from robust_core.acceleration.optimised import (
    OptimisedModel,
    SearchByBatch,
    exact_model,
    is_optimised,
    measured_choice,
    optimised,
    search_model,
)
from robust_core.attacks.base import create_attack
from robust_core.evaluation import evaluate
from robust_core.models.base import create_model
from tests.acceleration.test_optimised import images
from tests.acceleration.test_optimised import network as trained_norms

SHAPE = (3, 16, 16)
FAST, SLOW = 0.001, 0.002


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBUST_DATA", str(tmp_path))
    return tmp_path


def network(seed: int = 0):
    model = create_model("preact_resnet18", SHAPE, 5, {"width": 8}, seed=seed)
    return model.eval().requires_grad_(False)


def found(few: str, many: str) -> Calibration:
    """Return a measurement that one copy wins for few images and one for many."""
    names = ("reference", "float32", "bfloat16")
    few_images, many_images = (
        {name: FAST if name == best else SLOW for name in names} for best in (few, many)
    )
    return Calibration(few_images, many_images, 1, 32)


def choose(monkeypatch: pytest.MonkeyPatch, few: str, many: str) -> nn.Module:
    monkeypatch.setattr(
        "robust_core.acceleration.optimised.calibrate", lambda *arguments: found(few, many)
    )
    with use_acceleration(Acceleration("fastest")):
        return optimised(network())


def test_what_loses_is_not_used(monkeypatch) -> None:
    assert not is_optimised(choose(monkeypatch, "reference", "reference"))
    assert not isinstance(choose(monkeypatch, "float32", "float32"), OptimisedModel)
    low = choose(monkeypatch, "bfloat16", "bfloat16")
    assert search_model(low) is not exact_model(low)


def test_each_batch_goes_to_its_fastest_copy(monkeypatch) -> None:
    ready = choose(monkeypatch, "float32", "bfloat16")
    search = search_model(ready)
    assert isinstance(search, SearchByBatch)
    x = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(1))
    assert torch.equal(search(x[:7]), exact_model(ready)(x[:7]))
    assert not torch.equal(search(x), exact_model(ready)(x))
    assert torch.equal(search.features(x), search.many.features(x))  # pyright: ignore[reportCallIssue]


def test_a_gain_within_the_noise_is_none() -> None:
    almost = Calibration({"reference": 1.0, "float32": 0.97}, {"reference": 1.0}, 1, 32)
    assert (almost.for_few, almost.for_many) == ("reference", "reference")
    assert found("float32", "bfloat16").words == (
        "input gradients are computed by an optimised copy in float32 for up to 7 images "
        "(1: reference 2 ms, float32 1 ms, bfloat16 2 ms) and by an optimised copy in bfloat16 for "
        "more (32: reference 2 ms, float32 2 ms, bfloat16 1 ms)"
    )


def test_only_matrix_units_are_worth_a_compiler() -> None:
    assert not found("bfloat16", "bfloat16").compile
    assert Calibration({}, {"reference": 1.0, "bfloat16": 0.3}, 1, 32).compile


@pytest.mark.slow
def test_measured_once_and_remembered(folder, monkeypatch) -> None:
    model = network()
    measured = measured_choice(model)
    assert measured is not None
    assert set(measured.many) == {"reference", "float32", "bfloat16"}
    monkeypatch.setattr(calibration, "_seconds", lambda *arguments: pytest.fail("measured again"))
    again = measured_choice(network(seed=1))  # other weights of the same shapes
    assert again == measured
    (file,) = (folder / "cache" / "acceleration").glob("*.json")
    assert json.loads(file.read_text())["many"] == measured.many


@pytest.mark.parametrize("text", ["", "[]", '{"few": {}, "many": {}, "num_few": 1, "num_many": 1}'])
@pytest.mark.slow
def test_a_damaged_memory_is_measured_anew(folder, text) -> None:
    measured_choice(network())
    (file,) = (folder / "cache" / "acceleration").glob("*.json")
    file.write_text(text)
    assert measured_choice(network(seed=1)) is not None
    assert json.loads(file.read_text())["num_few"] == 1


@pytest.mark.slow
def test_a_copy_that_predicts_something_else_does_not_take_part() -> None:
    model, other = network(), network(seed=3)
    copies = {"reference": model, "float32": other}
    assert set(calibrate(copies, copies, SHAPE, "a key").many) == {"reference"}  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_costs_time_only(folder) -> None:
    (folder / "cache").write_text("in the way")
    assert measured_choice(network()) is not None


def test_models_that_are_not_optimised_have_no_choice() -> None:
    assert measured_choice(nn.Sequential(nn.Flatten(), nn.Linear(3, 2))) is None


@pytest.mark.slow
def test_the_same_images_are_fooled_as_by_the_reference(monkeypatch) -> None:
    monkeypatch.setattr(
        "robust_core.acceleration.optimised.calibrate",
        lambda *arguments: found("float32", "bfloat16"),
    )
    model, x = trained_norms(), images(12)
    y = model(x).argmax(dim=1)
    attack = create_attack("pgd", epsilon=0.01, num_steps=5)
    expected = evaluate(model, x, y, attack)
    with use_acceleration(Acceleration("fastest")):
        report = evaluate(model, x, y, attack)
    assert 0 < expected.robust_accuracy < 1
    assert int((report.robust_correct != expected.robust_correct).sum()) <= 1
    assert report.backward_passes > 0
