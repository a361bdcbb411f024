"""ONNX graphs: the same logits and gradients, kept by digest, refused in one sentence."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robust_core as rc
from robust_core.errors import InputError
from robust_core.models.base import create_model
from robust_core.models.kept_files import FOLDER, keep_file
from tests.models.examples import images

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnx2pytorch", reason="onnx2pytorch is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from robust_core.models.onnx_graph import SUFFIX, OnnxNetwork, open_graph  # noqa: E402

SHAPE, K, WIDTH = (3, 16, 16), 4, 5
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.25, 0.25)


class Same(nn.Module):
    """What the graph below computes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, WIDTH, 3, stride=2)
        self.fc = nn.Linear(WIDTH, K)

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
        return self.fc(self.conv((x - mean) / std).relu().mean(dim=(2, 3)))


def graph(last=(), batch: str | int = "n", channels=3):
    """A convolution, its mean and a linear layer, as ONNX; `last` are further nodes."""
    same = Same()
    weights = [
        numpy_helper.from_array(value.detach().numpy(), name)
        for name, value in same.named_parameters()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["on"]),
        helper.make_node("GlobalAveragePool", ["on"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["z"]),
        helper.make_node("Gemm", ["z", "fc.weight", "fc.bias"], ["logits"], transB=1),
        *last,
    ]
    name = last[-1].output[0] if last else "logits"
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, 16, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, K])],
        weights,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    return tmp_path


def imported(model=None, shape=SHAPE, **more) -> tuple[OnnxNetwork, dict]:
    data = (model or graph()).SerializeToString()
    network = open_graph(data, shape, K, **{"mean": MEAN, "std": STD, **more})
    keep_file(data, SUFFIX)
    return network


def test_logits_gradient_and_features_are_those_of_the_graph():
    model, _ = imported(graph(batch=1))  # a fixed batch is none
    same, x = Same(), images(3, SHAPE).requires_grad_(True)
    torch.testing.assert_close(model(x), same(x))
    ours, theirs = (torch.autograd.grad(f(x)[:, 1].sum(), x)[0] for f in (model, same))
    torch.testing.assert_close(ours, theirs)
    assert (model.num_features, model.has_features) == (WIDTH, True)
    torch.testing.assert_close(model.head(model.features(x)), same(x))
    assert model.class_layer is not None
    assert torch.equal(model.class_layer.weight, same.fc.weight)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_it_is_built_again_from_parameters_and_weights(own_folder):
    model, parameters = imported()
    assert {path.name for path in (own_folder / FOLDER).iterdir()} == {
        f"{parameters['graph']}.onnx"
    }
    with torch.device("meta"):
        unreal = create_model("onnx", SHAPE, K, parameters)
    again = create_model("onnx", SHAPE, K, parameters).eval()
    shapes = {key: value.shape for key, value in unreal.state_dict().items()}
    assert shapes == {key: value.shape for key, value in again.state_dict().items()}
    assert all(value.is_meta for value in unreal.state_dict().values())
    state = {key: value + 1 for key, value in model.state_dict().items()}
    again.load_state_dict(state)
    assert not torch.allclose(again(images(2, SHAPE)), model(images(2, SHAPE)))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(images(2, SHAPE)), model(images(2, SHAPE)))


def test_it_is_attacked_and_evaluated():
    model, _ = imported()
    x, y = images(6, SHAPE), torch.arange(6) % K
    report = rc.evaluate(model, x, y, rc.create_attack("pgd", epsilon=0.1, num_steps=2))
    assert report.num_images == 6


def test_grey_images_of_another_size():
    model, _ = imported(shape=(1, 8, 8), input_size=16)
    assert model(images(2, (1, 8, 8))).shape == (2, K)


def node(operator: str, *inputs: str, **attributes):
    return helper.make_node(operator, ["logits", *inputs], ["out"], **attributes)


def elsewhere():
    model = graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model


def strange():
    model = graph([helper.make_node("Strange", ["logits"], ["out"], domain="here")])
    model.opset_import.append(helper.make_opsetid("here", 1))
    return model


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (elsewhere, {}, "the ONNX graph has its weights in other files, which are not opened"),
        (strange, {}, "Strange, which cannot be converted; export with torch.onnx.export(dynamo"),
        (lambda: graph([node("Softmax", axis=1)]), {"mean": (0.5, 0.5)}, "mean should have one"),
        (graph, {"input_size": 8, "shape": (3, 4, 4)}, "must have a height and a width"),
        (lambda: graph(channels=7), {}, "the graph takes images of 7 channels, the data has 3"),
    ],
)
def test_what_cannot_be_imported_gets_one_sentence(make, changes, message):
    with pytest.raises(InputError) as error:
        imported(make(), **changes)
    assert message in str(error.value)


def test_probabilities_have_no_features():
    model, _ = imported(graph([node("Softmax", axis=1)]))
    assert not model.has_features
    torch.testing.assert_close(model(images(2, SHAPE)), Same()(images(2, SHAPE)).softmax(dim=1))


def test_no_graph_at_all():
    for data in (b"", b"<html>", b"PK\x03\x04"):
        with pytest.raises(InputError, match="ONNX graph"):
            open_graph(data, SHAPE, K, mean=MEAN, std=STD)


def test_a_conversion_that_computes_something_else_is_found(monkeypatch):
    monkeypatch.setattr(
        "onnx.reference.ReferenceEvaluator.run", lambda *_: [np.zeros((1, K), np.float32)]
    )
    with pytest.raises(InputError, match="computes something else once it is converted"):
        imported()


def test_a_lost_or_changed_file_is_named(own_folder):
    _, parameters = imported()
    path = own_folder / FOLDER / f"{parameters['graph']}.onnx"
    path.write_bytes(b"changed")
    with pytest.raises(InputError, match=r"\.onnx is damaged or was changed; import the model ag"):
        create_model("onnx", SHAPE, K, parameters)
    path.unlink()
    with pytest.raises(InputError, match=r"is built from the file .*\.onnx, which cannot be read"):
        create_model("onnx", SHAPE, K, parameters)
    with pytest.raises(InputError, match=r"SHA-256, 64 digits in hexadecimal, got '\.\./secret'"):
        create_model("onnx", SHAPE, K, {"graph": "../secret"})


@pytest.mark.slow
def test_a_wrapped_module_becomes_a_graph():
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from robust_core.models.onnx_export import as_graph  # noqa: PLC0415 - onnxscript is optional

    names = ("a", "b", "c", "d")
    model = rc.wrap_model(Same(), mean=None, std=None, class_names=names, image_shape=SHAPE)
    network, parameters, data = as_graph(model)
    keep_file(data, SUFFIX)
    x = images(5, SHAPE)
    torch.testing.assert_close(network(x), model(x))
    again = create_model("onnx", SHAPE, K, parameters).eval()
    assert torch.equal(again(x), network(x))
    assert network.num_features == WIDTH
