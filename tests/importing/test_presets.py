"""Presets build, fit files of their own naming, and say how another file differs."""

import functools
import json

import pytest
import torch
from torch import Tensor

from robust_core.data.loading import list_data
from robust_core.errors import InputError
from robust_core.importing.layout import Candidate, recognise
from robust_core.importing.namings import NAMINGS
from robust_core.importing.presets import CLASSES, PRESETS, Preset, matching
from robust_core.models.base import MODELS, create_model
from robust_core.models.normalisation import NORMALISATION_FIELDS
from tests.importing import references
from tests.importing.references import Weights

GROUPS = {"resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "efficientnet_lite0": (16,)}


@functools.cache
def candidates_of(architecture: str, values: str, num_classes: int) -> tuple[Candidate, ...]:
    """What is recognised in an empty file of a network with its published names."""
    parameters = json.loads(values)
    grey = architecture.endswith("_cnn")
    shape = (1, 28, 28) if grey else (3, 32, 32)
    with torch.device("meta"):
        model = create_model(architecture, shape, num_classes, parameters)
    blocks = (parameters.get("depth", 0) - 4) // 6
    sizes = (blocks,) * 3 if blocks > 0 else GROUPS.get(architecture, (2, 2, 2, 2))
    deepmind = parameters.get("padding") == "same"
    naming = next(
        n
        for n in NAMINGS
        if n.name.startswith(architecture.rstrip("0123456789"))
        and n.name.endswith("(DeepMind)") == deepmind
    )
    return recognise({naming.theirs(k, sizes): v for k, v in model.state_dict().items()})


@pytest.mark.parametrize("name", PRESETS.names())
def test_every_preset_names_one_network_that_can_be_built(name):
    preset = PRESETS.get(name)
    assert preset.name == name == name.lower()
    assert preset.origin and preset.data in CLASSES
    plain = {k: v for k, v in preset.parameters.items() if k not in NORMALISATION_FIELDS}
    found = candidates_of(
        preset.architecture, json.dumps(plain, sort_keys=True), CLASSES[preset.data]
    )
    candidate = matching(found, preset)
    complete = MODELS.get(preset.architecture).Parameters.create(preset.parameters)
    assert candidate.parameters == complete.model_dump(mode="json")
    assert preset.declares_normalisation or "in the file" in preset.notes


def test_presets_are_about_data_sets_that_are_here():
    assert CLASSES.keys() <= set(list_data())


def small(**parameters) -> Preset:
    size = {"depth": 10, "widen_factor": 1, "mean": (0.0,), "std": (1.0,)}
    return Preset("theirs", "a paper", "cifar10", "wide_resnet", {**size, **parameters})


def wrn(classes: int = 10) -> dict[str, Tensor]:
    weights = Weights()
    references.trades_wrn(weights, torch.rand(1, 3, 8, 8).double(), classes=classes)
    return dict(weights)


@pytest.mark.parametrize(
    ("preset", "tensors", "sentence"),
    [
        (
            small(depth=16, widen_factor=2),
            wrn(),
            "theirs has depth 16 and widen_factor 2, but m.pt has depth 10 and widen_factor 1",
        ),
        (
            small(padding="same"),
            wrn(),
            "theirs has padding same, but m.pt has padding symmetric",
        ),
        (small(), wrn(7), "theirs has 10 outputs for cifar10, but m.pt has 7"),
        (
            Preset("theirs", "a paper", "cifar10", "resnet18"),
            wrn(),
            "theirs is a resnet18, but m.pt fits wide_resnet",
        ),
        (
            small(),
            {**wrn(), "mu": torch.full((3,), 0.5), "sigma": torch.ones(3)},
            "theirs has the mean 0, but m.pt brings 0.5, 0.5, 0.5",
        ),
        (
            Preset(
                *("theirs", "a paper", "cifar10", "wide_resnet"),
                {"depth": 10, "widen_factor": 1, "per_image": True},
            ),
            {**wrn(), "mu": torch.zeros(3), "sigma": torch.ones(3)},
            "theirs has the mean that of each image, but m.pt brings 0, 0, 0",
        ),
    ],
)
def test_a_preset_says_how_the_file_differs(preset, tensors, sentence):
    with pytest.raises(InputError) as error:
        matching(recognise(tensors), preset, "m.pt")
    assert str(error.value) == sentence


def test_a_preset_decides_between_twins_and_brings_mean_and_std():
    candidate = matching(recognise(wrn()), small(activation="gelu", head="cosine"))
    found = {name: candidate.parameters[name] for name in ("activation", "head", "mean", "std")}
    assert found == {"activation": "gelu", "head": "cosine", "mean": [0.0], "std": [1.0]}
    assert candidate.normalisation is None


def test_mean_and_std_of_the_file_are_kept():
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2471, 0.2435, 0.2616])
    found = recognise({**wrn(), "mu": mean, "sigma": std})
    stated = {"mean": (0.4914, 0.48216, 0.4465), "std": (0.2471, 0.2435, 0.2616)}
    candidate = matching(found, small(**stated))
    assert candidate.parameters["mean"] == [0.4914, 0.4822, 0.4465]
    silent = Preset("theirs", "a", "cifar10", "wide_resnet", {"depth": 10, "widen_factor": 1})
    assert matching(found, silent).parameters["std"] == [0.2471, 0.2435, 0.2616]


def test_an_unknown_preset_is_met_with_a_guess():
    with pytest.raises(InputError, match="did you mean 'trades-wrn-34-10'"):
        PRESETS.get("trades-wrn-3410")
