"""Feature Scattering: transport against closed forms and an independent solver, the recipe."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linprog

from robust_core.methods.base import Batch, create_method
from robust_core.methods.feature_scattering import transport_cost
from robust_core.methods.parts.label_smoothing import smooth_labels, soft_cross_entropy
from robust_core.methods.parts.optimal_transport import cosine_cost, sinkhorn
from robust_core.models.base import create_model
from tests.toys import LinearModel, SmallNet, labels, middle_images


def random_logits(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("num_classes", "others", "floor"), [(10, 0.0556, 1.791759), (100, 0.00505, 2.990707)]
)
def test_smoothed_labels_and_the_floor_of_their_cross_entropy(num_classes, others, floor):
    target = smooth_labels(torch.tensor([3, 0]), num_classes, 0.5)
    assert target.shape == (2, num_classes)
    assert target[0, 3] == target[1, 0] == 0.5
    assert target[0, 4].item() == pytest.approx(others, abs=5e-5)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(2))
    best = soft_cross_entropy(target.log(), target)
    assert best.tolist() == pytest.approx([floor] * 2, abs=2e-6)
    assert (soft_cross_entropy(random_logits(2).repeat(1, num_classes // 5), target) > best).all()


def test_no_smoothing_is_plain_cross_entropy():
    logits, y = random_logits(6), labels(6, 5)
    torch.testing.assert_close(
        soft_cross_entropy(logits, smooth_labels(y, 5, 0.0)),
        F.cross_entropy(logits, y, reduction="none"),
    )


def test_cosine_cost():
    z = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    expected = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    torch.testing.assert_close(cosine_cost(z, z), expected)
    assert (cosine_cost(random_logits(4), random_logits(4)) >= 0).all()


def test_plan_has_uniform_marginals_when_converged():
    plan = sinkhorn(
        cosine_cost(random_logits(6), random_logits(6, 1)), max_iterations=1000, tolerance=1e-6
    )
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(dim=0), torch.full((6,), 1 / 6), atol=1e-4, rtol=0)
    torch.testing.assert_close(plan.sum(dim=1), torch.full((6,), 1 / 6), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_cost_is_near_that_of_a_linear_programme():
    cost = cosine_cost(random_logits(7), random_logits(7, 1))
    plan = sinkhorn(cost, max_iterations=5000, tolerance=1e-6)
    rows = np.kron(np.eye(7), np.ones(7))
    columns = np.kron(np.ones(7), np.eye(7))
    exact = linprog(
        cost.double().numpy().ravel(),
        A_eq=np.vstack([rows, columns]),
        b_eq=np.full(14, 1 / 7),
    )
    assert (plan * cost).sum().item() == pytest.approx(exact.fun, abs=0.01)


def test_one_iteration_written_out():
    cost = cosine_cost(random_logits(3), random_logits(3, 1)) * 0.05
    kernel = torch.exp(-cost / 0.01)
    row = (1 / 3) / (kernel.sum(dim=1) + 1e-6)
    scaled = kernel * row[:, None]
    column = (1 / 3) / (scaled.sum(dim=0) + 1e-6)
    torch.testing.assert_close(sinkhorn(cost, max_iterations=1), scaled * column)


def test_stops_at_the_released_tolerance():
    cost = cosine_cost(random_logits(8), random_logits(8, 1))
    early, late = (sinkhorn(cost, tolerance=tolerance) for tolerance in (0.1, 1e-6))
    assert not torch.allclose(early, late, atol=1e-3)


def test_same_batches_cost_nothing_and_the_gradient_goes_through_the_plan():
    z = random_logits(6)
    assert transport_cost(z, z).sum().item() == pytest.approx(0.0, abs=1e-3)
    moved = random_logits(6, 1).requires_grad_()
    (whole,) = torch.autograd.grad(transport_cost(z, moved).sum(), moved)
    cost = cosine_cost(z, moved)
    (fixed_plan,) = torch.autograd.grad((sinkhorn(cost).detach() * cost).sum(), moved)
    assert not torch.allclose(whole, fixed_plan, rtol=1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert transport_cost(z.bfloat16(), moved.bfloat16()).dtype == torch.float32


def attacked_images(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The images that a fresh network is trained on."""
    model = SmallNet().train()
    seen: list[torch.Tensor] = []
    model.register_forward_pre_hook(
        lambda module, arguments: seen.append(arguments[0].detach()) if module.training else None
    )
    torch.manual_seed(0)
    method = create_method("feature_scattering", {"epsilon": 0.1})
    method.training_loss(model, Batch(x, y, torch.arange(len(y))))
    (x_adv,) = seen
    return x_adv


def test_attack_raises_the_transport_distance_and_needs_no_labels():
    x, y = middle_images(8, (1, 8, 8)), labels(8)
    x_adv = attacked_images(x, y)
    assert torch.equal(x_adv, attacked_images(x, (y + 1) % 3))
    assert (x_adv - x).abs().max() <= 0.1 + 1e-6
    model = SmallNet().eval()
    noise = x + 0.1 * (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(9)) - 1)
    distance, random = (transport_cost(model(x), model(image)).sum() for image in (x_adv, noise))
    assert distance > 2 * random


def test_loss_is_the_soft_cross_entropy_of_the_attacked_batch():
    model, x, y = LinearModel(), middle_images(7), labels(7)
    method = create_method("feature_scattering", {"epsilon": 0.0})
    output = method.training_loss(model, Batch(x, y, torch.arange(7)))
    expected = soft_cross_entropy(model(x), smooth_labels(y, 3, 0.5)).mean()
    torch.testing.assert_close(output.loss, expected)
    assert math.isclose(output.terms["adversarial_cross_entropy"], expected.item(), rel_tol=1e-6)


def test_recipe_of_the_paper():
    settings = create_method("feature_scattering").settings
    assert (settings.epsilon, settings.label_smoothing) == (8 / 255, 0.5)
    assert settings.warmup_epochs == 0


@pytest.mark.parametrize("name", ["feature_scattering", "atld"])
def test_radius_can_grow(name):
    model = create_model("small_cnn", (1, 8, 8), 3, {"width": 4}).train()
    x, y = middle_images(6, (1, 8, 8)), labels(6)
    method = create_method(name, {"epsilon": 0.08, "warmup_epochs": 4})
    method.attach(model)
    seen: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    for epoch, radius in ((0, 0.0), (1, 0.02), (4, 0.08), (9, 0.08)):
        method.on_epoch_start(epoch, 10)
        method.training_loss(model, Batch(x, y, torch.arange(6)))
        assert (seen[-1] - x).abs().max().item() == pytest.approx(radius, abs=1e-6)
