"""MART against its released loss, written out, and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.methods.base import Batch, create_method
from robust_core.methods.mart import boosted_cross_entropy, mart_loss
from tests.toys import LinearModel, SmallNet, labels, middle_images


def released_loss(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float) -> Tensor:
    """The loss as its authors compute it, with their constants."""
    p_adv, p = logits_adv.softmax(1), logits.softmax(1)
    order = p_adv.argsort(dim=1)[:, -2:]
    best_wrong = torch.where(order[:, -1] == y, order[:, -2], order[:, -1])
    boost = F.nll_loss((1.0001 - p_adv + 1e-12).log(), best_wrong)
    divergence = nn.KLDivLoss(reduction="none")((p_adv + 1e-12).log(), p).sum(1)
    missing = 1.0000001 - p.gather(1, y[:, None]).squeeze(1)
    return F.cross_entropy(logits_adv, y) + boost + beta * (divergence * missing).mean()


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_loss_and_gradients_are_the_released_ones(num_classes):
    generator = torch.Generator().manual_seed(num_classes)
    y = labels(8, num_classes)
    drawn = [2.0 * torch.randn(8, num_classes, generator=generator) for _ in range(2)]
    one, one_adv = (tensor.clone().requires_grad_() for tensor in drawn)
    other, other_adv = (tensor.clone().requires_grad_() for tensor in drawn)
    loss, released = mart_loss(one, one_adv, y, 5.0).loss, released_loss(other, other_adv, y, 5.0)
    torch.testing.assert_close(loss, released, rtol=1e-5, atol=1e-6)
    loss.backward()
    released.backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(one_adv.grad, other_adv.grad, rtol=1e-4, atol=1e-6)


def test_loss_by_hand():
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    logits_adv = torch.tensor([[0.2, 0.3, 0.5]]).log()
    output = mart_loss(logits, logits_adv, torch.tensor([0]), 6.0)
    boosted = -math.log(0.2) - math.log(1.0001 - 0.5)
    divergence = 0.6 * math.log(3.0) + 0.1 * math.log(0.2)
    assert output.terms["boosted_cross_entropy"] == pytest.approx(boosted, rel=1e-5)
    assert output.terms["weighted_kl_divergence"] == pytest.approx(0.4 * divergence, rel=1e-5)
    assert output.loss.item() == pytest.approx(boosted + 6.0 * 0.4 * divergence, rel=1e-5)


def test_the_boost_is_bounded_and_stays_finite():
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    y = torch.tensor([0, 0])
    loss = boosted_cross_entropy(logits, y)
    assert loss[0].item() == pytest.approx(-math.log(1.0001), abs=1e-6)
    assert loss[1].item() == pytest.approx(400.0 - math.log(1e-4), rel=1e-3)
    loss.sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_losses_are_float32_of_bfloat16_logits():
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = mart_loss(logits, logits.flip(1), labels(4, 5), 5.0)
    exact = mart_loss(logits.float(), logits.flip(1).float(), labels(4, 5), 5.0)
    assert output.loss.dtype == torch.float32
    assert torch.equal(output.loss, exact.loss)


def test_attack_raises_cross_entropy_from_a_gaussian_start_in_eval_mode():
    # Two classes: the worst case in the ball has its margin lowered by epsilon * ||w||_1.
    model, x = LinearModel(num_classes=2, scale=0.3), middle_images(7)
    y = labels(7, num_classes=2)
    method = create_method("mart", {"epsilon": 0.05, "step_size": 0.02, "beta": 0.0})
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    output = method.training_loss(model, Batch(x, y, torch.arange(7)))
    assert (seen[0] - x).std().item() == pytest.approx(1e-3, rel=0.2)
    side = (2 * y - 1)[:, None, None, None]
    w = (model.weight[1] - model.weight[0]).view(1, 1, 4, 4)
    worst = x - 0.05 * side * w.sign()
    torch.testing.assert_close(seen[-1], worst, rtol=1e-5, atol=1e-6)
    expected = boosted_cross_entropy(model(worst), y).mean()
    torch.testing.assert_close(output.loss, expected, rtol=1e-5, atol=1e-6)


def test_clean_and_attacked_batch_go_forward_in_train_mode_after_the_attack():
    model, x, y = SmallNet().train(), middle_images(6, (1, 8, 8)), labels(6)
    modes = []
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    create_method("mart", {"num_steps": 3}).training_loss(model, Batch(x, y, torch.arange(6)))
    assert modes == [False, False, False, True, True]


def test_radius_grows():
    model, x, y = LinearModel(num_classes=2), middle_images(7), labels(7, num_classes=2)
    method = create_method("mart", {"epsilon": 0.08, "warmup_epochs": 4, "step_size": 0.04})
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    for epoch, radius in ((0, 0.0), (1, 0.02), (4, 0.08), (9, 0.08)):
        method.on_epoch_start(epoch, 10)
        method.training_loss(model, Batch(x, y, torch.arange(7)))
        assert (seen[-1] - x).abs().max().item() == pytest.approx(radius, abs=1e-6)


def test_the_recipe_of_resnet18_is_the_default():
    settings = create_method("mart").settings
    assert (settings.epsilon, settings.step_size, settings.num_steps) == (0.031, 0.007, 10)
    assert (settings.beta, settings.batch_norm) == (5.0, "eval")
