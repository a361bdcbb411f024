"""What every registered training method promises, on random tensors."""

import pytest
import torch

from robust_core.methods import list_methods
from robust_core.methods.base import METHODS, Batch, MethodOutput
from tests.methods.examples import example, example_batch


@pytest.fixture(params=list_methods())
def name(request) -> str:
    return request.param


@pytest.fixture
def batch() -> Batch:
    return example_batch()


def losses_of(name: str, batch: Batch, num_steps: int) -> list[float]:
    torch.manual_seed(0)
    model, method = example(name)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(num_steps):
        method.on_epoch_start(0, 1)
        loss = method.training_loss(model, batch).loss
        optimiser.zero_grad()
        loss.backward()
        method.after_backward(model)
        optimiser.step()
        method.after_step(model)
        losses.append(loss.item())
    return losses


def loss_and_backward(name: str, batch: Batch) -> tuple[torch.nn.Module, MethodOutput]:
    model, method = example(name)
    method.on_epoch_start(0, 2)
    output = method.training_loss(model, batch)
    assert all(parameter.grad is None for parameter in model.parameters())
    output.loss.backward()
    method.after_backward(model)
    return model, output


def test_loss_is_a_finite_scalar_with_a_gradient_for_every_parameter(name, batch):
    model, output = loss_and_backward(name, batch)
    assert output.loss.shape == ()
    assert torch.isfinite(output.loss)
    assert output.terms
    assert all(isinstance(value, float) for value in output.terms.values())
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_model_keeps_its_mode_and_weights(name, batch):
    weights = {key: value.clone() for key, value in example(name)[0].named_parameters()}
    model, _ = loss_and_backward(name, batch)
    assert all(module.training for module in model.modules())
    for key, value in model.named_parameters():
        assert torch.allclose(value, weights[key], atol=1e-7), key


def test_the_default_generator_decides_everything(name, batch):
    assert losses_of(name, batch, 2) == losses_of(name, batch, 2)


@pytest.mark.slow
def test_training_lowers_the_loss(name, batch):
    losses = losses_of(name, batch, 25)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("name", list_methods())
def test_a_method_says_itself_what_it_is_trained_with(name):
    recipe = vars(METHODS.get(name))["recipe"]  # its own, none is inherited
    assert {"model", "optimiser", "schedule", "epochs"} - recipe.run.keys() <= {"optimiser"}
    fields = METHODS.get(name).Parameters.model_fields.keys()
    given = [recipe.quick.parameters, recipe.quick.gentle_parameters]
    given += [departure.parameters for departure in recipe.elsewhere.values()]
    given += [option.parameters for option in recipe.options.values()]
    assert all(fields >= parameters.keys() for parameters in given)
