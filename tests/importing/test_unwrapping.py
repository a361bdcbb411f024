"""The weights are found among what training scripts save, under their bare names."""

import pytest
import torch

from robust_core.errors import InputError
from robust_core.importing.unwrapping import unwrap

NET = {"conv.weight": torch.zeros(2, 3), "fc.bias": torch.ones(2)}
MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 1.0)


def named(prefix, tensors=NET):
    return {f"{prefix}{key}": value for key, value in tensors.items()}


@pytest.mark.parametrize(
    ("values", "path", "prefixes"),
    [
        (NET, "", ()),
        ({"state_dict": named("module."), "epoch": 3, "test_acc": 0.5}, "state_dict", ("module.",)),
        ({"net": named("basic_net."), "optimizer": {"state": NET}}, "net", ("basic_net.",)),
        ({"model": {"state_dict": named("module._orig_mod.")}}, "model.state_dict",
         ("module.", "_orig_mod.")),
        ({**named("module."), "n_averaged": torch.tensor(3)}, "", ("module.",)),
    ],
)  # fmt: skip
def test_known_layouts(values, path, prefixes):
    found = unwrap(values)
    assert (found.path, found.prefixes) == (path, prefixes)
    assert {key: value.shape for key, value in found.tensors.items()} == {
        key: value.shape for key, value in NET.items()
    }


def test_a_prefix_is_removed_only_from_the_front_and_only_where_all_have_it():
    values = {"module.model.a": torch.zeros(1), "module.fc.module.b": torch.zeros(1)}
    found = unwrap(values)
    assert set(found.tensors) == {"model.a", "fc.module.b"} and found.prefixes == ("module.",)


def test_normalisers_and_parts_of_the_training_are_taken_out():
    """As MadryLab's robustness saves a network: with its attacker, which holds it once more."""
    network = {
        **named("module.model."),
        "module.normalizer.new_mean": torch.tensor(MEAN).view(3, 1, 1),
        "module.normalizer.new_std": torch.tensor(STD).view(3, 1, 1),
        **named("module.attacker.model."),
    }
    found = unwrap({"model": network, "optimizer": {"state": {}}, "epoch": 3})
    assert set(found.tensors) == set(NET) and found.prefixes == ("module.", "model.")
    assert found.normalisation == (MEAN, STD)
    assert found.surplus == tuple(named("attacker.model."))


def test_several_sets_of_weights_are_asked_for():
    values = {"state_dict": NET, "state_dict_ema": named("module."), "epoch": 1}
    sentence = r"holds 2 sets of weights \(state_dict, state_dict_ema\); say which one with --key"
    with pytest.raises(InputError, match=sentence):
        unwrap(values)
    assert unwrap(values, "state_dict_ema").prefixes == ("module.",)
    with pytest.raises(InputError, match="did you mean 'state_dict_ema'"):
        unwrap(values, "state_dict_em")


def test_weights_under_an_unknown_name_are_asked_for():
    with pytest.raises(InputError, match=r"holds weights \(generator\); say which one with --key"):
        unwrap({"generator": NET, "epoch": 1})
    assert unwrap({"generator": NET, "epoch": 1}, "generator").path == "generator"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"state": {}, "param_groups": []}, "holds an optimiser's state, not a network"),
        ([1, 2], "should hold a state dict .* got a list"),
        ({"epoch": 1}, "got a dict of epoch"),
        (
            {"fc.weight_g": NET["fc.bias"], "fc.weight_v": NET["fc.bias"]},
            "with weight normalisation",
        ),
        (
            {"fc.weight_orig": NET["fc.bias"], "fc.weight_u": NET["fc.bias"]},
            "with spectral normalisation",
        ),
        ({"fc.parametrizations.weight.0": NET["fc.bias"]}, "fold it into the weights first"),
        ({"mu": torch.zeros(2), "sigma": torch.zeros(2), **NET}, "one or three numbers in mu"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "real numbers, but a is complex"),
        ({"a": torch.eye(2).to_sparse()}, "dense tensors of numbers, but a is not"),
        ({"discriminator.a": torch.zeros(2)}, "no weights of a network"),
    ],
)
def test_refusals(values, sentence):
    with pytest.raises(InputError, match=sentence):
        unwrap(values)
