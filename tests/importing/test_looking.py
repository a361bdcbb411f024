"""What a file tells by itself, and what its clean accuracies tell."""

from pathlib import Path

import pytest
import torch

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.data import load_data
from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.importing.comparing import compare_cost, compare_variants
from robust_core.importing.layout import choices
from robust_core.importing.looking import look_at, narrowed
from robust_core.importing.target import find_target
from tests.importing.examples import SCALE, digits_network, published_names_of, their_file
from tests.importing.references import Weights, fast_at_cnn

TRUTH = {"activation": "relu", "head": "linear"}


@pytest.mark.slow
def test_a_file_tells_its_networks_and_no_normalisation(tmp_path: Path) -> None:
    look = look_at(their_file(tmp_path))
    assert (look.ours, look.keys, look.fault, look.normalisation) == (False, (), "", None)
    assert look.presets == ()  # none is that small
    assert choices(look.candidates).keys() == TRUTH.keys()
    assert [one.parameters | TRUTH for one in narrowed(look.candidates, TRUTH)] == [
        look.candidates[0].parameters
    ]


def test_a_file_of_a_published_size_names_its_presets(tmp_path: Path) -> None:
    weights = Weights()
    fast_at_cnn(weights, torch.zeros(1, 1, 28, 28).double(), width=16, hidden=100, classes=10)
    path = tmp_path / "fgsm.pth"
    torch.save({name: value.float() for name, value in weights.items()}, path)
    assert look_at(path).presets == ("fast-at-mnist",)


def test_several_sets_of_weights_are_named_and_one_is_looked_at(tmp_path: Path) -> None:
    state = published_names_of(digits_network())
    path = tmp_path / "both.pt"
    torch.save({"state_dict": state, "ema": {**state, "mu": torch.tensor(0.3), "sigma": 0.4}}, path)
    look = look_at(path)
    assert (look.keys, look.candidates) == (("state_dict", "ema"), ())
    assert look_at(path, "state_dict").candidates


def test_a_file_of_ours_needs_no_questions() -> None:
    assert look_at(checkpoint_info("digits-pgd_at").path).ours


def test_names_of_nobody_have_a_fault_and_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "strange.pt"
    torch.save({"a.weight": torch.zeros(2, 2), "b.weight": torch.zeros(2)}, path)
    assert "no network here" in look_at(path).fault
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(InputError, match="needs code to open"):
        look_at(path)


@pytest.mark.slow
def test_the_comparison_finds_what_the_network_really_is(tmp_path: Path) -> None:
    path, target = their_file(tmp_path), find_target("digits", None, None)
    images = target.images
    assert images is not None
    looked = narrowed(look_at(path).candidates, {"activation": "relu"})
    steps: list[tuple[int, int]] = []
    found = compare_variants(
        path, looked, target, images, told=lambda done, total: steps.append((done, total))
    )
    assert steps == [(0, 2), (1, 2)]
    assert "as declared" not in found[0].accuracies
    best = max(found, key=lambda one: max(one.accuracies.values()))
    assert best.candidate.parameters["head"] == "linear"
    cost = compare_cost(looked, target)
    assert cost.passes >= sum(len(one.accuracies) * one.num_images for one in found)

    sample = images.sample(best.num_images)
    wanted = (predict_logits(digits_network(), sample.x).argmax(dim=1) == sample.y).double().mean()
    declared = compare_variants(
        path, [best.candidate], target, images, declared=(SCALE["mean"], SCALE["std"])
    )
    assert declared[0].accuracies["as declared"] == pytest.approx(float(wanted))
    assert declared[0].accuracies["as declared"] > 2 * best.accuracies["pixels in [0, 1]"]


def test_a_comparison_asks_for_fitting_classes(tmp_path: Path) -> None:
    path, digits = their_file(tmp_path), load_data("digits", "test")
    target = find_target(None, tuple("abc"), (1, 32, 32))
    with pytest.raises(InputError, match="10 outputs, the data 3 classes"):
        compare_variants(path, look_at(path).candidates, target, digits)
