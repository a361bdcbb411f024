"""What every registered training method promises, on random tensors."""

import copy

import pytest
import torch

from robust_core.methods import list_methods
from robust_core.methods.base import Batch, create_method
from tests.toys import SmallNet, labels


@pytest.fixture(params=list_methods())
def name(request) -> str:
    return request.param


@pytest.fixture
def batch() -> Batch:
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(x, labels(6), torch.arange(6))


def test_loss_is_a_finite_scalar_with_a_gradient_for_every_parameter(name, batch):
    model, method = SmallNet().train(), create_method(name)
    method.on_epoch_start(0, 2)
    output = method.training_loss(model, batch)
    assert output.loss.shape == ()
    assert torch.isfinite(output.loss)
    assert output.terms
    assert all(isinstance(value, float) for value in output.terms.values())
    assert all(parameter.grad is None for parameter in model.parameters())
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_model_keeps_its_mode_and_weights(name, batch):
    model, method = SmallNet().train(), create_method(name)
    weights = {key: value.clone() for key, value in model.named_parameters()}
    method.on_epoch_start(0, 2)
    method.training_loss(model, batch)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, weights[key]) for key, value in model.named_parameters())


def test_the_default_generator_decides_everything(name, batch):
    losses = []
    for _ in range(2):
        model, method = SmallNet().train(), create_method(name)
        torch.manual_seed(4)
        method.on_epoch_start(0, 2)
        losses.append(method.training_loss(model, batch).loss.item())
    assert losses[0] == losses[1]


def test_training_lowers_the_loss(name, batch):
    torch.manual_seed(0)
    model, method = SmallNet().train(), create_method(name)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(30):
        method.on_epoch_start(0, 1)
        loss = method.training_loss(model, batch).loss
        optimiser.zero_grad()
        loss.backward()
        method.after_backward(model)
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_state_travels(name, batch):
    method = create_method(name)
    method.on_epoch_start(0, 2)
    method.training_loss(SmallNet().train(), batch)
    method.reason_to_stop(SmallNet().eval())
    other = create_method(name)
    other.load_state_dict(copy.deepcopy(method.state_dict()))
    for key, value in method.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])
