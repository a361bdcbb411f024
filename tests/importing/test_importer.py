"""A model from elsewhere becomes one of ours, and nothing about it is guessed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from robust_core.checkpoints import catalog
from robust_core.checkpoints.catalog import checkpoint_info, list_checkpoints, load_model
from robust_core.command_line.main import main
from robust_core.config.imported import ImportConfig
from robust_core.data import load_data
from robust_core.errors import InputError
from robust_core.evaluation.finding import Severity
from robust_core.importing.importer import import_model
from robust_core.models.base import create_model
from tests.importing.examples import (
    SCALE,
    SIZE,
    digits_network,
    published_names,
    their_file,
)
from tests.shelves import use_only

SWITCHES = {"activation": "relu", "head": "linear"}  # which names do not tell
KNOWN: dict[str, Any] = {"architecture": "wide_resnet", "parameters": SWITCHES, "data": "digits"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    use_only(tmp_path, monkeypatch)
    return tmp_path


def config_of(info) -> ImportConfig:
    assert isinstance(info.config, ImportConfig)
    return info.config


def warned(info) -> dict[str, str]:
    findings = config_of(info).origin.findings
    return {one.name: one.sentence for one in findings if one.severity is not Severity.OK}


def clean(info) -> float:
    measured = config_of(info).origin.clean
    assert measured is not None
    return measured.accuracy


@pytest.mark.slow
def test_a_published_file_becomes_a_checkpoint_with_the_same_logits(folder):
    path = their_file(folder)
    info = import_model(path, **KNOWN, **SCALE)
    assert info.name == "imported/model" and info.measured is None
    x = load_data("digits").x[:4]
    torch.testing.assert_close(load_model(info.name)(x), digits_network()(x))
    origin = config_of(info).origin
    assert (origin.path, origin.prefixes, origin.num_tensors) == ("state_dict", ("module.",), 46)
    assert config_of(info).words == (
        "Imported, opened as wide_resnet (TRADES), normalised: mean 0.31, std 0.36 (said by the "
        "person who imported it)."
    )
    assert clean(info) > 0.7 and not warned(info)
    assert info.config.model.parameters["depth"] == SIZE["depth"]  # read from the names
    assert info.config.method.name == "unknown" and info.class_names == tuple("0123456789")


@pytest.mark.slow
def test_two_imports_of_a_file_are_one_model(folder):
    path = their_file(folder)
    first = import_model(path, **KNOWN, **SCALE)
    assert import_model(path, **KNOWN, **SCALE) == first
    other = import_model(path, **KNOWN, mean=0, std=1)
    assert other.name == "imported/model-2"
    assert import_model(path, **KNOWN, **SCALE, name="mine").name == "imported/mine"
    assert len(list_checkpoints()) == 3
    assert "claim" in warned(import_model(path, **KNOWN, **SCALE, claim=0.99))  # not passed over


@pytest.mark.slow
def test_an_import_that_dies_leaves_nothing(folder, monkeypatch):
    def die(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "save_file", die)
    with pytest.raises(KeyboardInterrupt):
        import_model(their_file(folder), **KNOWN, **SCALE)
    assert not list((folder / "imported").iterdir())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parameters": {}}, "which compute differently with the same names"),
        ({"mean": None, "std": None}, r"Say how model.pth.tar expects its pixels: \[0, 1\]"),
        ({"std": None}, "mean and std belong together"),
        ({"std": 0}, "std"),
        ({"data": None}, "Say what the outputs mean"),
        ({"data": None, "class_names": ["a"] * 10}, "Say the size of the images"),
        ({"data": None, "class_names": "ab", "image_shape": (1, 32, 32)},
         "has 10 outputs, the data 2 classes"),
        ({"data": None, "class_names": "0123456789", "image_shape": (3, 32, 32)},
         "takes images of 1 channels, the data has 3"),
        ({"image_shape": (1, 28, 28)}, "the images of digits have shape"),
        ({"class_names": ["zero", *"123456789"]}, "among them zero; 0 is missing"),
        ({"parameters": {**SWITCHES, "depth": 16}}, "is it another depth"),
        ({"parameters": {**SWITCHES, "colour": 1}}, "unknown parameter 'colour'"),
        ({"architecture": "preact_resnet18", "parameters": {}}, "does not fit preact_resnet18"),
        ({"architecture": "no_such_net"}, "unknown model 'no_such_net'"),
        ({"architecture": None}, "parameters need the architecture"),
        ({"preset": "trades-wrn-34-10"}, "a preset says the architecture"),
        ({"architecture": None, "parameters": None, "preset": "trades-wrn-34-10"},
         "trades-wrn-34-10 has depth 34"),
        ({"preset": "no-such"}, "unknown preset"),
        ({"key": "ema"}, "unknown set of weights in model.pth.tar 'ema'"),
        ({"claim": 85}, r"claim must be an accuracy in \[0, 1\], got 85"),
    ],
)  # fmt: skip
def test_what_the_file_does_not_tell_must_be_said(folder, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        import_model(their_file(folder), **{**KNOWN, **SCALE, **changes})
    assert list_checkpoints() == []


@pytest.mark.slow
def test_tensors_that_are_missing_or_too_many_are_named(folder):
    bare = published_names()
    del bare["fc.bias"]
    save_file({k: v.contiguous() for k, v in bare.items()}, folder / "short.safetensors")
    with pytest.raises(InputError, match=r"short\.safetensors lacks 1 .*bias"):
        import_model(folder / "short.safetensors", **KNOWN, **SCALE)
    path = their_file(folder, extra=torch.zeros(3))
    with pytest.raises(InputError, match="1 tensor that wide_resnet does not use, first extra"):
        import_model(path, **KNOWN, **SCALE)
    path = their_file(folder, **{"fc.bias": torch.full((10,), torch.nan)})
    with pytest.raises(
        InputError, match=r"should have finite weights, but classifier\.bias has NaN"
    ):
        import_model(path, **KNOWN, **SCALE)


@pytest.mark.slow
def test_unused_blocks_of_a_published_file_are_left_out_and_listed(folder):
    path = their_file(folder, **{"sub_block1.layer.0.bn1.weight": torch.zeros(3)})
    info = import_model(path, **KNOWN, **SCALE)
    assert config_of(info).origin.surplus == ("sub_block1.layer.0.bn1.weight",)


@pytest.mark.slow
def test_half_precision_is_opened_as_float32_and_noted(folder):
    state = {key: value.half() for key, value in published_names().items()}
    info = import_model(their_file(folder, **state), **KNOWN, **SCALE)
    assert config_of(info).origin.types == ("float16",)
    assert {p.dtype for p in load_model(info.name).parameters()} == {torch.float32}
    assert clean(info) > 0.7


@pytest.mark.slow
def test_a_normalisation_in_the_file_counts_and_no_other_may_contradict_it(folder):
    own = {"mu": torch.tensor([SCALE["mean"]]), "sigma": torch.tensor([SCALE["std"]])}
    path = their_file(folder, **own)
    info = import_model(path, **KNOWN)
    pixels = config_of(info).origin.pixels
    assert pixels is not None and pixels.said_by == "file" and clean(info) > 0.7
    with pytest.raises(InputError, match="is said to be normalised in different ways"):
        import_model(path, **KNOWN, mean=0, std=1)


def traps() -> dict:
    """Ways to open a file wrongly without an error, and the finding that must warn of each."""
    return {
        "no normalisation": (dict(mean=0, std=1), {}, "normalisation"),
        "[-1, 1]": (dict(mean=0.5, std=0.5), {}, "normalisation"),
        "0..255": (dict(mean=0, std=1 / 255), {}, "normalisation"),
        "activation": ({}, {"activation": "softplus"}, "claim"),
        "padding": ({}, {"padding": "same"}, "claim"),
        "head": ({}, {"head": "cosine"}, "claim"),
    }


@pytest.mark.parametrize("trap", traps())
@pytest.mark.slow
def test_each_silent_trap_is_warned_of(folder, trap):
    scale, switches, finding = traps()[trap]
    wrong = {**KNOWN, "parameters": {**SWITCHES, **switches}, **SCALE, **scale}
    try:
        info = import_model(their_file(folder), **wrong, claim=0.8)
    except InputError:
        return  # impossible is even better
    assert finding in warned(info), warned(info)
    if finding == "normalisation":
        assert "mean and std of the images" in warned(info)[finding]


@pytest.mark.slow
def test_an_order_of_classes_that_differs_is_found_and_can_be_said(folder):
    order = (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)
    names = published_names()
    rows = {key: names[key][list(order)] for key in ("fc.weight", "fc.bias")}
    path = their_file(folder, **rows)
    info = import_model(path, **KNOWN, **SCALE)
    assert "in the order 3, 1, 4, 0, 5, 9, 2, 6, 8, 7" in warned(info)["class_order"]
    right = import_model(path, **KNOWN, **SCALE, class_names=[str(label) for label in order])
    assert clean(right) > 0.7 and not warned(right)
    x = load_data("digits").x[:4]
    torch.testing.assert_close(load_model(right.name)(x), digits_network()(x))


@pytest.mark.slow
def test_a_claim_is_compared_with_what_is_measured(folder):
    info = import_model(their_file(folder), **KNOWN, **SCALE, claim=0.99)
    assert "probably opened wrongly" in warned(info)["claim"]


def test_a_model_without_a_data_set(folder):
    words = {"data": None, "class_names": "abcdefghij", "image_shape": (1, 32, 32)}
    info = import_model(their_file(folder), **{**KNOWN, **words}, **SCALE)
    assert info.class_names == tuple("abcdefghij") and info.config.data.name == "no data set"
    assert config_of(info).origin.clean is None
    with pytest.raises(InputError, match="imported without a data set"):
        load_data(info.config.data.name)


@pytest.mark.slow
def test_a_network_of_a_registered_architecture_can_be_brought_as_it_is(folder):
    parameters = {**SIZE, **SCALE}
    info = import_model(digits_network(), parameters=parameters, data="digits", name="mine")
    assert info.name == "imported/mine" and clean(info) > 0.7
    assert "mean 0.31, std 0.36" in config_of(info).words
    x = load_data("digits").x[:4]
    torch.testing.assert_close(load_model(info.name)(x), digits_network()(x))
    with pytest.raises(InputError, match="answers differently when wide_resnet is built again"):
        import_model(digits_network(), parameters=SIZE, data="digits")


def test_weights_of_a_network_of_ours_go_by_our_own_names(folder):
    model = create_model("small_cnn", (1, 32, 32), 10, {"width": 4})
    torch.save(model.state_dict(), folder / "mine.pt")
    known = {"architecture": "small_cnn", "parameters": {"width": 4}, "data": "digits"}
    info = import_model(folder / "mine.pt", **known)
    assert set(warned(info)) >= {"chance"}  # it has learnt nothing
    with pytest.raises(InputError, match="small_cnn has a normalisation of its own"):
        import_model(folder / "mine.pt", **known, mean=0, std=1)


@pytest.mark.slow
def test_a_checkpoint_of_ours_says_everything_itself(folder):
    info = import_model(their_file(folder), **KNOWN, **SCALE)
    again = import_model(info.path, name="again")
    assert again.name == "imported/again" and again.config == info.config


@pytest.mark.slow
def test_the_command_line(folder, capsys):
    path = their_file(folder)
    switches = ["--set", "activation=relu", "--set", "head=linear"]
    scale = ["--mean", "0.31", "--std", "91.8/255"]
    asked = ["--architecture", "wide_resnet", *switches, "--data", "digits", *scale]
    assert main(["import", str(path), *asked, "--name", "theirs", "--claim", "0.99"]) == 0
    said = capsys.readouterr().out
    assert "imported/theirs: wide_resnet, 10 classes\nImported, opened as" in said
    assert "WARNING: The stated clean accuracy is 99.0\u00a0%" in said
    assert main(["list", "checkpoints"]) == 0
    assert "No robust accuracy has been measured yet." in capsys.readouterr().out
    assert main(["card", "imported/theirs"]) == 2
    assert "was not trained here" in capsys.readouterr().err
    attack = ["--model", "imported/theirs", "--attack", "fgsm", "--num-images", "20"]
    assert main(["evaluate", *attack]) == 0
    assert main(["import", str(path), "--mean", "x"]) == 2
    assert main(["import", "--list"]) == 0
    assert "trades-wrn-34-10: " in capsys.readouterr().out


@pytest.mark.slow
def test_the_description_is_strict_json_that_reads_back(folder):
    info = import_model(their_file(folder), **KNOWN, **SCALE)
    values = json.loads(config_of(info).model_dump_json())
    assert ImportConfig.create(values) == info.config
    assert checkpoint_info(info.name) == info
