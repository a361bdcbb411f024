"""torch.compile reaches what every method calls and changes no number."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robust_core.errors import InputError
from robust_core.methods.base import METHODS
from robust_core.models.base import Classifier, create_model
from robust_core.models.retina.classifier import RetinotopicClassifier
from robust_core.training.state import compile_network
from robust_core.training.trainer import train
from tests.methods.examples import NUM_CLASSES, example, example_batch, smallest_network
from tests.training.conftest import tiny_config

pytestmark = pytest.mark.slow

TWICE = [name for name in METHODS.names() if METHODS.get(name).differentiates_twice]
ONCE: list[tuple[str, dict[str, Any]]] = [
    (name, {}) for name in METHODS.names() if name not in TWICE
]


class CountingBackend:
    """Runs a graph as it is."""

    def __init__(self) -> None:
        self.num_graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        self.num_graphs += 1
        return graph.forward


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


def loss_and_gradient(
    name: str, parameters: dict[str, Any], backend: CountingBackend | None
) -> tuple[Tensor, Tensor, Classifier]:
    architecture, size = smallest_network(name)
    network = create_model(architecture, (1, 8, 8), NUM_CLASSES, size).train()
    model, method = example(name, parameters, network)
    if backend is not None:
        compile_network(model, method, backend=backend)
    method.on_epoch_start(0, 2)
    torch.manual_seed(0)
    loss = method.training_loss(model, example_batch()).loss
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return loss, torch.cat([g.flatten() for g in gradients if g is not None]), model


@pytest.mark.parametrize(
    ("name", "parameters"), [*ONCE, ("ciiv", {"adversarial": True}), ("pgd_at", {"awp_gamma": 0.1})]
)
def test_what_a_method_calls_is_compiled_and_computes_the_same(name, parameters) -> None:
    backend = CountingBackend()
    expected_loss, expected, plain = loss_and_gradient(name, parameters, None)
    loss, gradient, model = loss_and_gradient(name, parameters, backend)
    assert backend.num_graphs >= 1
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
    assert list(model.state_dict()) == list(plain.state_dict())
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[key])


@pytest.mark.parametrize("name", TWICE)
def test_what_differentiates_twice_is_not_compiled(name) -> None:
    with pytest.raises(InputError, match="compile should be off"):
        train(tiny_config(method={"name": name}, compile=True))


def test_the_sampling_of_retinotopic_views_is_left_as_it_is() -> None:
    model, method = example("ciiv")
    assert isinstance(model, RetinotopicClassifier)
    compile_network(model, method, backend=CountingBackend())
    for network in (model, model.inference("one_view")):
        untouched = (
            network,
            network.get_submodule("backbone"),
            *network.get_submodule("sampler").modules(),
        )
        assert all(module._compiled_call_impl is None for module in untouched)


@pytest.mark.parametrize("name", ["small_cnn", "denoiser", "retinotopic"])
def test_a_copy_of_a_compiled_network_is_not_compiled_and_has_weights_of_its_own(name) -> None:
    width = {"backbone_width": 4, "num_views": 2} if name == "retinotopic" else {"width": 4}
    model = create_model(name, (1, 8, 8), 4, width)
    method = {"small_cnn": "standard", "denoiser": "denoising", "retinotopic": "ciiv"}[name]
    backend = CountingBackend()
    compile_network(model, example(method)[1], backend=backend)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        assert twin(torch.rand(2, 1, 8, 8)).std() > 0
        assert backend.num_graphs == 0
        model(torch.rand(2, 1, 8, 8))
    assert backend.num_graphs >= 1
