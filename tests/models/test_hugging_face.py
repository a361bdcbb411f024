"""Folders of Hugging Face: the same logits as transformers, and nothing but data opened."""

import json
from pathlib import Path

import pytest
import torch

from robust_core.errors import InputError
from robust_core.models.base import create_model
from robust_core.models.kept_files import keep_file
from tests.models.examples import images

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from robust_core.models.hugging_face import SUFFIX, open_folder, read_folder  # noqa: E402

pytestmark = pytest.mark.slow  # transformers takes seconds to be imported
NAMES = {"0": "cat", "1": "dog", "2": "owl"}
MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]
SHAPE = (3, 16, 16)
CONFIGS = {
    "vit": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 24,
        "patch_size": 8,
    },
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1]},
}


@pytest.fixture
def own_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    return tmp_path


def published(folder: Path, kind: str):
    """Write a folder as transformers does; return the network."""
    config = transformers.AutoConfig.for_model(kind, id2label=NAMES, **CONFIGS[kind])
    torch.manual_seed(0)
    model = transformers.AutoModelForImageClassification.from_config(config).eval()
    model.save_pretrained(folder)
    pixels = {"image_mean": MEAN, "image_std": STD, "size": {"height": 24, "width": 24}}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return model


def opened(folder: Path):
    """The network as its folder says; pixels are as they are where it does not."""
    said = read_folder(folder)
    pixels = {"mean": said.mean or (0.0,), "std": said.std or (1.0,), "input_size": said.size}
    return open_folder(folder, said.config, SHAPE, **pixels)


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("kind", CONFIGS)
def test_logits_gradient_and_features_are_those_of_transformers(kind, tmp_path):
    theirs = published(tmp_path / "brought", kind)
    ours, parameters = opened(tmp_path / "brought")
    assert (
        keep_file((tmp_path / "brought" / "config.json").read_bytes(), SUFFIX)
        == (parameters["config"])
    )
    x = images(2, SHAPE).requires_grad_(True)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
    larger = torch.nn.functional.interpolate(x, (24, 24), mode="bilinear")
    expected = theirs((larger - mean) / std).logits
    torch.testing.assert_close(ours(x), expected)
    gradients = [torch.autograd.grad(z[:, 0].sum(), x)[0] for z in (ours(x), expected)]
    torch.testing.assert_close(*gradients)
    assert ours.has_features
    torch.testing.assert_close(ours.head(ours.features(x)), expected)
    again = create_model("hugging_face", SHAPE, 3, parameters).eval()
    again.load_state_dict(dict(ours.state_dict()))
    assert torch.equal(again(x), ours(x))
    with torch.device("meta"):
        unreal = create_model("hugging_face", SHAPE, 3, parameters)
    assert {key: value.shape for key, value in unreal.state_dict().items()} == {
        key: value.shape for key, value in ours.state_dict().items()
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "bert"}, "config.json describes no image classifier of transformers"),
        ({"model_type": "nothing"}, "config.json describes no image classifier of transformers"),
        ({"auto_map": {"AutoConfig": "mine.Config"}}, "describes no image classifier of transform"),
        (
            {"model_type": "timm_wrapper"},
            "is of a network of timm (timm_wrapper): import it by its",
        ),
        (
            {"model_type": "vit", "quantization_config": {"load_in_8bit": True}},
            "config.json needs something from elsewhere (quantization_config); nothing is read",
        ),
        (
            {"model_type": "vit", "hidden_size": 12288, "intermediate_size": 49152},
            "million weights; at most 268 million are opened here",
        ),
    ],
)
def test_configurations_that_are_not_built(config, message, tmp_path):
    folder = tmp_path / "brought"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError) as error:
        opened(folder)
    assert message in str(error.value)


def test_weights_in_a_pickle_are_not_opened(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(InputError, match=r"should hold config\.json and model\.safetensors; weigh"):
        read_folder(tmp_path)


def test_what_the_small_files_say(tmp_path):
    published(tmp_path, "vit")
    said = read_folder(tmp_path)
    assert (said.class_names, said.channels, said.size) == (("cat", "dog", "owl"), 3, 24)
    assert (said.mean, said.std) == (tuple(MEAN), tuple(STD))
    (tmp_path / "preprocessor_config.json").unlink()
    said = read_folder(tmp_path)
    assert (said.size, said.mean, said.std) == (None, None, None)


def test_weights_have_to_fit(tmp_path):
    published(tmp_path, "resnet")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"_attn_implementation": "kernels-community/mine", "auto_map": {"AutoConfig": "m.C"}}
    (tmp_path / "config.json").write_text(json.dumps(config | {"depths": [1, 2]}))
    with pytest.raises(InputError, match=r"does not fit config\.json: \d+ missing tensors, first "):
        opened(tmp_path)
