"""The methods' losses against closed forms and their papers' recipes."""

import math

import pytest
import torch
import torch.nn.functional as F

from robust_core.losses import kl_divergence
from robust_core.methods.base import Batch, create_method
from robust_core.methods.trades import trades_loss
from tests.toys import LinearModel, SmallNet, labels, middle_images


def batch_of(x: torch.Tensor, y: torch.Tensor) -> Batch:
    return Batch(x, y, torch.arange(len(x)))


def test_standard_is_the_mean_cross_entropy():
    model, x, y = LinearModel(), middle_images(7), labels(7)
    output = create_method("standard").training_loss(model, batch_of(x, y))
    torch.testing.assert_close(output.loss, F.cross_entropy(model(x), y))


@pytest.mark.parametrize("name", ["pgd_at", "fast_at"])
def test_adversarial_training_meets_the_worst_case_of_a_linear_model(name):
    # Two classes: the worst case in the ball has its margin lowered by epsilon * ||w||_1.
    model, x = LinearModel(num_classes=2, scale=0.3), middle_images(7)
    y = labels(7, num_classes=2)
    w = model.weight[1] - model.weight[0]
    gap = (model(x)[:, 1] - model(x)[:, 0]) * (2 * y - 1) - 0.05 * w.abs().sum()
    parameters = {"epsilon": 0.05, "step_size": 0.1}
    output = create_method(name, parameters).training_loss(model, batch_of(x, y))
    torch.testing.assert_close(output.loss, F.softplus(-gap).mean(), rtol=1e-4, atol=1e-5)


def test_fast_at_takes_one_step_of_five_quarters_of_epsilon():
    model, x, y = LinearModel(num_classes=2), middle_images(7), labels(7, num_classes=2)
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    torch.manual_seed(0)
    create_method("fast_at", {"epsilon": 0.08}).training_loss(model, batch_of(x, y))
    start, x_adv = seen
    assert (start - x).abs().max() <= 0.08 + 1e-6
    expected = (start - x + 0.1 * (x_adv - start).sign()).clamp(-0.08, 0.08)
    torch.testing.assert_close(x_adv - x, expected, rtol=1e-4, atol=1e-6)


def test_trades_loss_is_its_formula_on_fixed_logits():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.2, 0.1]])
    logits_adv = torch.tensor([[0.0, 1.0, -1.0], [0.1, 0.9, 0.1]])
    y = torch.tensor([0, 1])
    p, q = logits.softmax(1), logits_adv.softmax(1)
    natural = -p[range(2), y].log().mean().item()
    divergence = (p * (p / q).log()).sum(1).mean().item()
    output = trades_loss(logits, logits_adv, y, 6.0)
    assert math.isclose(output.loss.item(), natural + 6.0 * divergence, rel_tol=1e-6)
    assert math.isclose(output.terms["cross_entropy"], natural, rel_tol=1e-6)
    assert math.isclose(output.terms["kl_divergence"], divergence, rel_tol=1e-5)


def test_trades_with_beta_zero_is_standard_training():
    model, x, y = LinearModel(), middle_images(7), labels(7)
    output = create_method("trades", {"beta": 0.0}).training_loss(model, batch_of(x, y))
    torch.testing.assert_close(output.loss, F.cross_entropy(model(x), y))


def test_trades_attack_needs_its_gaussian_start():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    moved = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(kl_divergence(logits, moved).sum(), moved)
    assert gradient.abs().max() < 1e-6


def test_trades_attack_raises_the_divergence_without_labels():
    model, x, y = SmallNet().eval(), middle_images(6, (1, 8, 8)), labels(6)
    values = []
    for labels_given in (y, (y + 1) % 3):
        torch.manual_seed(0)
        output = create_method("trades").training_loss(model, batch_of(x, labels_given))
        values.append(output.terms["kl_divergence"])
    assert values[0] == values[1] > 0


def test_recipes_of_the_papers_are_the_defaults():
    pgd_at, trades, fast_at = (
        create_method(name).settings for name in ("pgd_at", "trades", "fast_at")
    )
    assert (pgd_at.epsilon, pgd_at.num_steps) == (8 / 255, 10)
    assert (trades.epsilon, trades.step_size, trades.num_steps) == (0.031, 0.007, 10)
    assert trades.beta == 6.0
    assert (fast_at.epsilon, fast_at.largest_drop) == (8 / 255, 0.2)
    assert fast_at.batch_norm == "train"


def test_fast_at_stops_when_accuracy_under_pgd_collapses():
    x = middle_images(40)
    robust, broken = LinearModel(scale=1e-3), LinearModel(scale=30.0)
    broken.weight.data = 30.0 * torch.randn_like(broken.weight)
    y = robust(x).argmax(1)
    batch = batch_of(x, y)
    robust.weight.data *= 1e3
    method = create_method("fast_at", {"epsilon": 1e-4})
    method.on_epoch_start(0, 3)
    method.training_loss(robust, batch)
    assert method.reason_to_stop(robust) is None
    method.on_epoch_start(1, 3)
    method.training_loss(broken, batch)
    reason = method.reason_to_stop(broken)
    assert reason is not None
    assert "catastrophic overfitting" in reason

    patient = create_method("fast_at", {"epsilon": 1e-4, "largest_drop": None})
    patient.load_state_dict({"previous_accuracy": torch.ones(())})
    patient.on_epoch_start(1, 3)
    patient.training_loss(broken, batch)
    assert patient.reason_to_stop(broken) is None


@pytest.mark.parametrize(("norm", "order"), [("Linf", math.inf), ("L2", 2)])
def test_fast_at_checks_itself_in_the_ball_it_trains_in(norm, order):
    model, x, y = LinearModel(num_classes=2), middle_images(7), labels(7, num_classes=2)
    method = create_method("fast_at", {"norm": norm, "epsilon": 0.08})
    method.training_loss(model, batch_of(x, y))
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    method.reason_to_stop(model)
    moved = (seen[-1] - x).flatten(1).norm(p=order, dim=1)
    assert moved.max().item() == pytest.approx(0.08, rel=1e-4)


def test_pgd_at_can_let_its_radius_grow():
    model, x, y = LinearModel(num_classes=2), middle_images(7), labels(7, num_classes=2)
    method = create_method("pgd_at", {"epsilon": 0.08, "warmup_epochs": 4})
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    for epoch, radius in ((0, 0.0), (1, 0.02), (3, 0.06), (4, 0.08), (9, 0.08)):
        method.on_epoch_start(epoch, 10)
        method.training_loss(model, batch_of(x, y))
        assert (seen[-1] - x).abs().max().item() == pytest.approx(radius, abs=1e-6)
