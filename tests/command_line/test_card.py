import pytest
import torch

from robust_core.checkpoints.catalog import checkpoint_info, load_model, load_trained
from robust_core.checkpoints.file import rounded_to_half
from robust_core.command_line.main import main
from robust_core.training.trainer import train
from tests.training.conftest import tiny_config


def test_card_of_the_rounded_network(model, tmp_path, capsys) -> None:
    rounded = tmp_path / "rounded.safetensors"
    note = "measured on a rainy day"
    assert main(["card", model, "--half", "--output", str(rounded), "--note", note]) == 0
    assert "as reported" in capsys.readouterr().out
    info, before = checkpoint_info(rounded), checkpoint_info(model)
    assert info.card.notes[-1] == note
    assert rounded.stat().st_size < 0.7 * before.path.stat().st_size
    assert (info.card.split, info.card.sample, info.epoch) == ("test", "stratified", before.epoch)
    weights = load_model(model).state_dict()
    for key, value in load_model(rounded).state_dict().items():
        assert torch.equal(value, rounded_to_half(weights[key]))


@pytest.mark.slow
def test_a_method_with_a_network_and_an_optimiser_of_its_own_is_rounded_too(checkpoints) -> None:
    parameters = {"discriminator_blocks": 1, "discriminator_width": 1}
    config = tiny_config(epochs=1, method={"name": "atld", "parameters": parameters})
    trained, rounded = train(config).best, checkpoints / "rounded.safetensors"
    assert main(["card", str(trained), "--half", "--output", str(rounded)]) == 0
    _, method = load_trained(rounded)
    assert method is not None
    assert all(torch.equal(weights, rounded_to_half(weights)) for weights in method.parameters())


def test_card_of_an_inference_is_refused(model, capsys) -> None:
    assert main(["card", f"{model}:one_view"]) == 2
    assert "one_view" in capsys.readouterr().err


def test_a_note_too_long_is_refused(model, tmp_path, capsys) -> None:
    output = tmp_path / "a.safetensors"
    assert main(["card", model, "--output", str(output), "--note", "x" * 2000]) == 2
    assert "notes" in capsys.readouterr().err
    assert not output.exists()
