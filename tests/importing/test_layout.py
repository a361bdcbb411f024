"""Networks of others give their logits in ours; what does not fit is refused with a sentence."""

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.errors import InputError
from robust_core.importing.layout import (
    Candidate,
    choices,
    only_candidate,
    recognise,
    state_of,
)
from robust_core.models.base import Classifier, create_model
from tests.importing import references
from tests.importing.references import Weights

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
COSINES = references.trades_wrn_cosines


def images(channels: int = 3, side: int = 16) -> Tensor:
    return torch.rand(3, channels, side, side, generator=torch.Generator().manual_seed(1)).double()


def built(candidate: Candidate, tensors: dict[str, Tensor], **others: Any) -> Classifier:
    """The network that a candidate names, with the file's weights, in float64."""
    parameters = {**candidate.parameters, **others}
    side = candidate.image_side or 16
    shape = (candidate.image_channels, side, side)
    model = create_model(candidate.architecture, shape, candidate.num_classes, parameters)
    model.load_state_dict(state_of(candidate, tensors), strict=True)
    return model.eval().double()


def wanted(candidates: tuple[Candidate, ...], **parameters: Any) -> Candidate:
    """The one candidate with these parameters; those that have no name are the usual ones."""
    return next(c for c in candidates if all(c.parameters[k] == v for k, v in parameters.items()))


def assert_same_logits(model: Classifier, x: Tensor, expected: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("forward", "architecture", "parameters"),
    [
        (references.trades_wrn, "wide_resnet", {"depth": 10, "widen_factor": 1}),
        (
            functools.partial(references.trades_wrn, n=2, k=2),
            "wide_resnet",
            {"depth": 16, "widen_factor": 2},
        ),
        *(
            (
                functools.partial(references.trades_wrn, act=act),
                "wide_resnet",
                {"activation": name},
            )
            for name, act in (("silu", F.silu), ("gelu", F.gelu), ("softplus", F.softplus))
        ),
        (
            functools.partial(COSINES, bias=True),
            "wide_resnet",
            {"head": "cosine", "head_bias": True},
        ),
        (
            functools.partial(COSINES, bias=False),
            "wide_resnet",
            {"head": "cosine", "head_bias": False},
        ),
        (references.deepmind_wrn, "wide_resnet", {"activation": "silu", "padding": "same"}),
        (
            functools.partial(references.deepmind_wrn, n=2, act=F.relu),
            "wide_resnet",
            {"depth": 16, "activation": "relu", "padding": "same"},
        ),
        *(
            (
                functools.partial(references.preact, raw=raw, last=last),
                "preact_resnet18",
                {"shortcut_input": "raw" if raw else "activated", "last_norm": last, "width": 4},
            )
            for raw in (False, True)
            for last in (False, True)
        ),
        (
            functools.partial(references.preact, raw=False, last=True, act=F.softplus),
            "preact_resnet18",
            {"activation": "softplus", "shortcut_input": "activated"},
        ),
        (
            references.deepmind_preact,
            "preact_resnet18",
            {"activation": "silu", "padding": "same", "shortcut_kernel": 3},
        ),
        (references.resnet, "resnet18", {"width": 4, "activation": "relu"}),
        (functools.partial(references.resnet, act=F.silu), "resnet18", {"activation": "silu"}),
        (functools.partial(references.resnet, sizes=(3, 4, 6, 3)), "resnet34", {"width": 4}),
        (
            functools.partial(references.resnet, sizes=(3, 4, 6, 3), bottleneck=True),
            "resnet50",
            {"width": 4},
        ),
    ],
)
def test_a_published_network_gives_its_logits(forward, architecture, parameters):
    weights, x = Weights(), images()
    expected = forward(weights, (x - 0.5) / 0.5)
    candidate = wanted(recognise(weights), **parameters)
    assert candidate.architecture == architecture
    assert (candidate.image_channels, candidate.num_classes) == (3, 5)
    assert candidate.surplus == () and candidate.normalisation is None
    assert_same_logits(built(candidate, weights), x, expected)


@pytest.mark.parametrize(
    ("forward", "architecture", "side"),
    [
        (references.trades_cnn, "trades_cnn", 28),
        (references.fast_at_cnn, "fast_at_cnn", 28),
        (references.fast_at_cnn, "fast_at_cnn", 16),
    ],
)
def test_the_networks_for_mnist(forward, architecture, side):
    weights, x = Weights(), images(1, side)
    expected = forward(weights, x)
    (candidate,) = recognise(weights)
    assert (candidate.architecture, candidate.image_side) == (architecture, side)
    assert candidate.note == "No other network here has these names and shapes."
    model = built(candidate, weights, mean=(0.0,), std=(1.0,))
    assert_same_logits(model, x, expected)


def test_pixels_are_normalised_as_the_person_says():
    weights, x = Weights(), images()
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (MEAN, STD))
    expected = references.trades_wrn(weights, (x - mean) / std)
    candidate = recognise(weights)[0]
    assert_same_logits(built(candidate, weights, mean=MEAN, std=STD), x, expected)
    flat = torch.full_like(x[:1], 0.3)  # its deviation is 0
    x = torch.cat([x, flat])
    expected = references.trades_wrn(weights, references.per_image(x))
    assert_same_logits(built(candidate, weights, per_image=True), x, expected)


@pytest.mark.parametrize(
    "keys", [("normalizer.new_mean", "normalizer.new_std"), ("mu", "sigma"), ("mean", "std")]
)
def test_the_file_s_own_mean_and_std_are_found(keys):
    weights, x = Weights(), images()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    expected = references.resnet(weights, (x - mean) / std)
    tensors = {**weights, keys[0]: mean, keys[1]: std}
    candidate = recognise(tensors)[0]
    assert candidate.normalisation == (MEAN, STD)
    assert not {*keys} & {*candidate.rename, *candidate.surplus}
    assert_same_logits(built(candidate, tensors), x, expected)


def test_known_surplus_is_left_out_and_listed():
    weights, x = Weights(), images()
    expected = references.trades_wrn(weights, 2 * x - 1)
    surplus = ["attacker.model.conv1.weight", "n_averaged", "sub_block1.layer.0.conv1.weight"]
    tensors = {**weights, **{key: torch.zeros(()) for key in surplus}}
    candidate = recognise(tensors)[0]
    assert candidate.surplus == tuple(surplus)
    assert_same_logits(built(candidate, tensors), x, expected)


@pytest.mark.slow
def test_half_precision_and_missing_counts():
    weights = Weights()
    references.preact(weights, images(), raw=True, last=True)
    tensors = {
        key: value.half()
        for key, value in weights.items()
        if not key.endswith("num_batches_tracked")
    }
    candidate = recognise(tensors)[0]
    state = state_of(candidate, tensors)
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    assert state["trunk.norm.num_batches_tracked"] == 0
    assert torch.equal(state["trunk.stem.weight"], tensors["conv1.weight"].float())
    built(candidate, tensors)


def test_twins_are_all_returned_and_told_apart():
    weights = Weights()
    references.preact(weights, images(), raw=False, last=True)
    twins = recognise(weights)
    assert choices(twins) == {
        "head": ("linear", "cosine"),
        "activation": ("relu", "silu", "gelu", "softplus"),
        "shortcut_input": ("activated", "raw"),
    }
    assert len(twins) == 16 == len({twin.note for twin in twins})
    assert twins[0].note == (
        "Shortcuts take the activated input, the activation is ReLU, the head is linear."
    )
    with torch.no_grad():
        logits = [built(twin, weights)(images()) for twin in twins]
    assert all(
        not torch.allclose(a, b, atol=1e-4) for i, a in enumerate(logits) for b in logits[:i]
    )
    with pytest.raises(InputError) as error:
        only_candidate(twins, "model.pt")
    assert str(error.value) == (
        "model.pt fits 16 variants of preact_resnet18, which compute differently with the same "
        "names (head linear, cosine; activation relu, silu, gelu, softplus; shortcut_input "
        "activated, raw); say which, or which training code it is from"
    )
    assert only_candidate(twins[:1]) is twins[0]


def test_without_a_last_norm_the_raw_shortcut_is_the_usual_one():
    weights = Weights()
    references.preact(weights, images(), raw=True, last=False)
    first = recognise(weights)[0].parameters
    assert (first["shortcut_input"], first["last_norm"]) == ("raw", False)


def wrn() -> dict[str, Tensor]:
    weights = Weights()
    references.trades_wrn(weights, images())
    return dict(weights)


def without(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if part not in key}


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({}, "m.pt holds no tensors"),
        (
            {"state.0.momentum_buffer": torch.zeros(1)},
            "m.pt holds an optimiser's state, not a network",
        ),
        (
            {"conv1.weight_g": torch.zeros(1), "conv1.weight_v": torch.zeros(1)},
            "m.pt was trained with weight normalisation (conv1.weight_g); fold it into the weights "
            "first (torch.nn.utils.remove_weight_norm)",
        ),
        (
            {"fc.parametrizations.weight.original0": torch.zeros(1)},
            "m.pt was trained with a parametrisation (fc.parametrizations.weight.original0); fold "
            "it into the weights first (torch.nn.utils.parametrize.remove_parametrizations)",
        ),
        (
            {"fc.weight_orig": torch.zeros(1), "fc.weight_mask": torch.zeros(1)},
            "m.pt was trained with pruning (fc.weight_mask); fold it into the weights first "
            "(torch.nn.utils.prune.remove)",
        ),
        (
            {"fc.weight_orig": torch.zeros(1), "fc.weight_u": torch.zeros(1)},
            "m.pt was trained with spectral normalisation (fc.weight_u); fold it into the weights "
            "first (torch.nn.utils.remove_spectral_norm)",
        ),
        (
            {"encoder.weight": torch.zeros(1)},
            "m.pt has 1 tensor, first encoder.weight, which are named like those of no network "
            "here: wide_resnet (TRADES), wide_resnet (DeepMind), preact_resnet18 (pytorch-cifar), "
            "preact_resnet18 (DeepMind), resnet (pytorch-cifar), trades_cnn (TRADES), fast_at_cnn "
            "(Fast-AT), efficientnet_lite0 (EfficientNet-PyTorch)",
        ),
        (
            without(wrn(), "block3."),
            "m.pt lacks 11 tensors of wide_resnet, first block3.layer.0.bn1.weight; is it "
            "another depth or width?",
        ),
        (
            {**wrn(), "ema.weight": torch.zeros(1)},
            "m.pt has 1 tensor that wide_resnet does not use, first ema.weight; nothing was "
            "imported",
        ),
        (
            {**wrn(), "bn1.weight": torch.zeros(5)},
            "m.pt has bn1.weight of shape 5, where wide_resnet with these sizes has 64; is it "
            "another depth or width?",
        ),
        (
            {**wrn(), "conv1.weight": torch.zeros(16, 2, 3, 3)},
            "m.pt looks like a wide_resnet (TRADES), but images must have 1 or 3 channels, got 2",
        ),
        (
            without(wrn(), "fc."),
            "m.pt lacks fc.weight, which tells the size of a wide_resnet (TRADES); is it another "
            "network?",
        ),
        (
            {**wrn(), "fc.weight": torch.zeros(5)},
            "m.pt has fc.weight with 1 dimensions, where a wide_resnet (TRADES) has 2; is it "
            "another network?",
        ),
        (
            {**wrn(), "fc.weight": torch.zeros(0, 64)},
            "m.pt has an empty fc.weight; is it another network?",
        ),
        (
            {**wrn(), "mu": torch.zeros(2), "sigma": torch.ones(2)},
            "m.pt should have one or three numbers in mu and sigma, got 2 and 2",
        ),
        (
            {**wrn(), "mu": torch.zeros(3), "sigma": torch.zeros(3)},
            "m.pt looks like a wide_resnet (TRADES), but std.0 must be >= 0.001, got 0.0; std.1 "
            "must be >= 0.001, got 0.0; std.2 must be >= 0.001, got 0.0",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(tensors, sentence):
    with pytest.raises(InputError) as error:
        recognise(tensors, "m.pt")
    assert str(error.value) == sentence


def test_networks_of_other_sizes_than_ours_are_refused_with_a_sentence():
    weights = Weights()
    references.resnet(weights, images(), sizes=(3, 4, 6, 3), bottleneck=True)
    deep = {**weights, "layer3.6.conv1.weight": weights["layer3.5.conv1.weight"]}
    with pytest.raises(InputError) as error:
        recognise(deep)
    assert str(error.value) == (
        "the file has groups of 3, 4, 7, 3 blocks of three convolutions, which is none of "
        "resnet18, resnet34 and resnet50; is it another network?"
    )
    wide = {**weights, "conv1.weight": torch.zeros(132, 3, 3, 3)}
    with pytest.raises(InputError, match="width must be <= 128, got 132"):
        recognise(wide)
    torchvision = {**weights, "layer1.0.downsample.0.weight": torch.zeros(1)}
    with pytest.raises(InputError) as error:
        recognise(torchvision)
    assert str(error.value) == (
        "the file has the names of torchvision's ResNets, such as layer1.0.downsample.0.weight; is "
        "it another network?"
    )
