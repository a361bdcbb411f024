"""Adversarial weight perturbation against a proxy model as in the released code, and by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.methods.base import Batch, MethodOutput, create_method
from robust_core.methods.parts.awp import WeightPerturbation, perturbed_weights
from robust_core.models.base import create_model
from tests.toys import LinearModel, SmallNet, labels, middle_images

GAMMA = 0.02


def small_net() -> SmallNet:
    model = SmallNet().train()
    model.layers[3] = nn.Identity()  # dropout, whose two draws differ
    return model


def cross_entropy_of(model: nn.Module, x: Tensor, y: Tensor):
    def loss_function() -> MethodOutput:
        return MethodOutput(F.cross_entropy(model(x), y), {})

    return loss_function


def images() -> tuple[Tensor, Tensor]:
    return middle_images(12, (1, 8, 8)), labels(12)


def proxy_perturbation(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return gamma v for each weight matrix by one SGD step of a copy on minus the loss."""
    proxy = copy.deepcopy(model)
    optimiser = torch.optim.SGD(proxy.parameters(), lr=0.01)
    optimiser.zero_grad()
    (-F.cross_entropy(proxy(x), y)).backward()
    optimiser.step()
    moved = dict(proxy.named_parameters())
    perturbation = {}
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            difference = (moved[name] - weight).detach()
            scale = weight.detach().norm() / (difference.norm() + 1e-20)
            perturbation[name] = GAMMA * scale * difference
    return perturbation


def released_step(model: nn.Module, x: Tensor, y: Tensor, optimiser) -> dict[str, Tensor]:
    """Take a step in the released order: perturb, backward, step, subtract; return gamma v."""
    perturbation = proxy_perturbation(model, x, y)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, change in perturbation.items():
            parameters[name].add_(change)
    optimiser.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimiser.step()
    with torch.no_grad():
        for name, change in perturbation.items():
            parameters[name].sub_(change)
    return perturbation


def our_step(model: nn.Module, x: Tensor, y: Tensor, optimiser) -> None:
    perturbation = WeightPerturbation(GAMMA)
    output = perturbation.outer_loss(model, cross_entropy_of(model, x, y))
    optimiser.zero_grad()
    output.loss.backward()
    perturbation.restore()
    optimiser.step()


def test_the_perturbation_is_that_of_a_proxy():
    model, (x, y) = small_net(), images()
    before = copy.deepcopy(dict(model.named_parameters()))
    expected = proxy_perturbation(model, x, y)
    WeightPerturbation(GAMMA).outer_loss(model, cross_entropy_of(model, x, y))
    for name, weight in model.named_parameters():
        change = expected.get(name, torch.zeros_like(weight))
        torch.testing.assert_close(weight - before[name], change, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_without_weight_decay_are_those_of_the_released_order(momentum):
    (x, y), ours, released = images(), small_net(), small_net()
    optimisers = [
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum) for model in (ours, released)
    ]
    for _ in range(3):
        our_step(ours, x, y, optimisers[0])
        released_step(released, x, y, optimisers[1])
    theirs = released.state_dict()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-5)


def test_weight_decay_acts_on_the_unperturbed_weights():
    (x, y), ours, released = images(), small_net(), small_net()
    rate, decay = 0.1, 0.5
    optimisers = [
        torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay)
        for model in (ours, released)
    ]
    our_step(ours, x, y, optimisers[0])
    perturbation = released_step(released, x, y, optimisers[1])
    theirs = dict(released.named_parameters())
    for name, weight in ours.named_parameters():
        difference = rate * decay * perturbation.get(name, torch.zeros_like(weight))
        torch.testing.assert_close(weight - theirs[name], difference, rtol=1e-3, atol=1e-6)


def test_a_linear_model_moves_along_its_gradient_by_gamma_times_its_norm():
    model, x, y = LinearModel(), middle_images(9), labels(9)
    before = model.weight.detach().clone()
    error = model(x).softmax(1) - F.one_hot(y, 3)
    gradient = (error.T @ x.flatten(1)).detach() / len(x)  # [K, D]
    output = WeightPerturbation(GAMMA).outer_loss(model, cross_entropy_of(model, x, y))
    expected = before + GAMMA * before.norm() * gradient / gradient.norm()
    torch.testing.assert_close(model.weight.detach(), expected)
    torch.testing.assert_close(
        output.loss, F.cross_entropy(x.flatten(1) @ expected.T + model.bias, y)
    )
    assert output.loss > F.cross_entropy(x.flatten(1) @ before.T + model.bias, y)


def test_every_matrix_moves_by_gamma_times_its_norm_and_vectors_stay():
    model, (x, y) = small_net(), images()
    before = copy.deepcopy(dict(model.named_parameters()))
    WeightPerturbation(GAMMA).outer_loss(model, cross_entropy_of(model, x, y))
    for name, weight in model.named_parameters():
        expected = GAMMA * before[name].norm().item() if weight.dim() > 1 else 0.0
        assert (weight - before[name]).norm().item() == pytest.approx(expected, rel=1e-4), name


def test_weights_come_back_bit_for_bit_and_gradients_are_left_to_the_caller():
    model, (x, y) = small_net(), images()
    before = copy.deepcopy(dict(model.named_parameters()))
    perturbation = WeightPerturbation(GAMMA)
    output = perturbation.outer_loss(model, cross_entropy_of(model, x, y))
    assert all(weight.grad is None for weight in model.parameters())
    output.loss.backward()
    perturbation.restore()
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name


def test_a_second_loss_without_a_backward_pass_starts_at_the_original_weights():
    model, (x, y) = small_net(), images()
    before = copy.deepcopy(dict(model.named_parameters()))
    perturbation = WeightPerturbation(GAMMA)
    for _ in range(2):
        perturbation.outer_loss(model, cross_entropy_of(model, x, y))
    perturbation.restore()
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name


def test_batch_norm_sees_the_outer_batch_once():
    model, (x, y) = small_net(), images()
    WeightPerturbation(GAMMA).outer_loss(model, cross_entropy_of(model, x, y))
    once = small_net()
    once.load_state_dict(
        model.state_dict() | {k: v for k, v in once.state_dict().items() if "layers.1." in k}
    )
    once(x)
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, dict(once.named_buffers())[name])


def test_gradients_of_several_batches_accumulate():
    model, (x, y) = small_net(), images()
    halves = [(x[:6], y[:6]), (x[6:], y[6:])]
    separate = []
    for half in halves:
        alone = small_net()
        our_step(alone, *half, torch.optim.SGD(alone.parameters(), lr=0.0))
        separate.append([weight.grad for weight in alone.parameters()])
    perturbation = WeightPerturbation(GAMMA)
    for half in halves:
        perturbation.outer_loss(model, cross_entropy_of(model, *half)).loss.backward()
        perturbation.restore()
    for weight, one, other in zip(model.parameters(), *separate, strict=True):
        assert weight.grad is not None and one is not None and other is not None
        torch.testing.assert_close(weight.grad, one + other)


def test_autocast_uses_the_perturbed_weights():
    model, x, y = nn.Linear(16, 3), middle_images(9).flatten(1), labels(9)
    plain = F.cross_entropy(model(x), y).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(x)  # autocast now keeps a copy of the weight
        output = WeightPerturbation(0.5).outer_loss(model, cross_entropy_of(model, x, y))
    assert output.loss.item() == pytest.approx(F.cross_entropy(model(x), y).item(), abs=0.02)
    assert output.loss.item() > plain + 0.1


@pytest.mark.parametrize(("gamma", "warmup", "epoch"), [(0.0, 0, 5), (GAMMA, 3, 2)])
def test_nothing_moves_when_it_is_off_or_warming_up(gamma, warmup, epoch):
    model, (x, y) = small_net(), images()
    before = copy.deepcopy(dict(model.named_parameters()))
    perturbation = WeightPerturbation(gamma, warmup)
    perturbation.on_epoch_start(epoch)
    perturbation.outer_loss(model, cross_entropy_of(model, x, y))
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_it_begins_after_the_warm_up():
    model, (x, y) = small_net(), images()
    before = copy.deepcopy(perturbed_weights(model))
    perturbation = WeightPerturbation(GAMMA, 3)
    perturbation.on_epoch_start(3)
    perturbation.outer_loss(model, cross_entropy_of(model, x, y))
    assert not any(
        torch.equal(*pair) for pair in zip(perturbed_weights(model), before, strict=True)
    )


def test_the_weights_of_a_cosine_head_stay():
    x, y = middle_images(8, (1, 8, 8)), labels(8)
    parameters = {"width": 4, "head": "cosine", "head_normalisation": "retraction"}
    model = create_model("small_cnn", (1, 8, 8), 3, parameters)
    before = copy.deepcopy(dict(model.named_parameters()))
    WeightPerturbation(GAMMA).outer_loss(model, cross_entropy_of(model, x, y))
    for name, weight in model.named_parameters():
        stays = name.startswith("classifier") or weight.dim() == 1
        assert torch.equal(weight, before[name]) == stays, name


def test_a_layer_that_the_loss_does_not_use_stays():
    class Spare(LinearModel):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.ones(3, 3))

    model = Spare()
    WeightPerturbation(GAMMA).outer_loss(
        model, cross_entropy_of(model, middle_images(9), labels(9))
    )
    assert torch.equal(model.unused, torch.ones(3, 3))


@pytest.mark.parametrize("name", ["pgd_at", "trades"])
def test_methods_take_their_loss_at_perturbed_weights(name):
    x, y = images()
    batch = Batch(x, y, torch.arange(len(x)))
    outputs = {}
    for gamma in (0.0, GAMMA):
        torch.manual_seed(0)
        model = small_net()
        before = copy.deepcopy(dict(model.named_parameters()))
        method = create_method(name, {"awp_gamma": gamma, "num_steps": 2})
        method.on_epoch_start(0, 2)
        outputs[gamma] = method.training_loss(model, batch)
        outputs[gamma].loss.backward()
        moved = not all(torch.equal(w, before[key]) for key, w in model.named_parameters())
        assert moved == (gamma > 0.0)
        method.after_backward(model)
        for key, weight in model.named_parameters():
            assert torch.equal(weight, before[key]), key
    assert outputs[GAMMA].loss > outputs[0.0].loss
    assert outputs[GAMMA].loss.item() != pytest.approx(outputs[0.0].loss.item(), rel=1e-4)


@pytest.mark.parametrize("name", ["pgd_at", "trades"])
def test_methods_wait_for_the_end_of_the_warm_up(name):
    x, y = images()
    batch = Batch(x, y, torch.arange(len(x)))
    method = create_method(name, {"awp_gamma": GAMMA, "awp_warmup_epochs": 2, "num_steps": 1})
    for epoch, expected in ((0, False), (1, False), (2, True)):
        model = small_net()
        before = copy.deepcopy(dict(model.named_parameters()))
        method.on_epoch_start(epoch, 5)
        method.training_loss(model, batch)
        moved = not all(torch.equal(w, before[key]) for key, w in model.named_parameters())
        assert moved == expected


def test_it_is_off_unless_it_is_asked_for():
    for name in ("pgd_at", "trades"):
        settings = create_method(name).settings
        assert (settings.awp_gamma, settings.awp_warmup_epochs) == (0.0, 0)
