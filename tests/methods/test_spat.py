"""SPAT against the golden values of its released losses, closed forms and its recipe."""

import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.losses import (
    cross_entropy,
    divergence_terms,
    kl_divergence,
    self_paced_floor,
    self_paced_weights,
)
from robust_core.methods.base import Batch, TrainingMethod, create_method
from robust_core.methods.spat import pair_consistency, self_paced_loss
from robust_core.models.base import Classifier, create_model
from robust_core.models.heads import cosine_head
from tests.toys import labels

Z = torch.tensor([[0.50, 0.30, -0.10, 0.05], [0.10, 0.45, -0.20, 0.35]])
Z_ADV = torch.tensor([[0.35, 0.40, -0.05, 0.05], [0.15, 0.50, -0.25, 0.20]])
Y = torch.tensor([0, 3])
DEFAULTS = (8.0, 0.2)  # scale, and margin or offset


def attached(num_classes: int = 4, **parameters) -> tuple[Classifier, TrainingMethod]:
    """A network with batch norm and a cosine head in train mode, and the method."""
    shape, network = (1, 8, 8), {"width": 4, "head": "cosine"}
    model = create_model("preact_resnet18", shape, num_classes, network).train()
    method = create_method("spat", parameters)
    method.attach(model)
    return model, method


def record(model: Classifier) -> list[tuple[bool, Tensor]]:
    """Return a list that gets the mode and the images of every forward pass."""
    passes: list[tuple[bool, Tensor]] = []
    model.register_forward_pre_hook(
        lambda module, arguments: passes.append((module.training, arguments[0].detach()))
    )
    return passes


def batch(n: int = 6, num_classes: int = 4) -> Batch:
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(x, labels(n, num_classes), torch.arange(n))


@pytest.mark.parametrize(
    ("scale", "accuracy", "robust", "total", "divergence", "plain"),
    [
        (8.0, 0.52838834, 0.35808427, 2.67689396, 0.29628556, 0.71445044),
        (5.0, 0.72146874, 0.14703982, 1.60370764, 0.13059587, 0.75952773),
    ],
)
def test_golden_values_of_the_released_losses(scale, accuracy, robust, total, divergence, plain):
    found = self_paced_loss(Z, Y, scale, 0.2).mean().item()
    consistency = pair_consistency(Z, Z_ADV, scale, 0.2).mean().item()
    assert found == pytest.approx(accuracy, abs=1e-6)
    assert consistency == pytest.approx(robust, abs=1e-6)
    assert found + 6.0 * consistency == pytest.approx(total, abs=1e-6)
    assert kl_divergence(scale * Z, scale * Z_ADV).mean().item() == pytest.approx(
        divergence, abs=1e-6
    )
    assert cross_entropy(scale * Z, Y).mean().item() == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (8.0, [[2.8, 1.2, -0.08, 0.1], [0.24, 2.34, 0.0, 2.38]]),
        (5.0, [[1.75, 0.75, -0.05, 0.0625], [0.15, 1.4625, 0.0, 1.4875]]),
    ],
)
def test_golden_self_paced_logits(scale, expected):
    logits = scale * self_paced_weights(Z, Y, 0.2) * Z
    torch.testing.assert_close(logits, torch.tensor(expected), rtol=0, atol=1e-6)


def test_golden_summands_of_the_divergence():
    expected = torch.tensor(
        [[0.607202, -0.203719, -0.005644, -0.009906], [-0.010937, -0.179861, 0.001920, 0.393517]]
    )
    summand = divergence_terms(8.0 * Z, 8.0 * Z_ADV)
    torch.testing.assert_close(summand, expected, rtol=0, atol=1e-6)
    rows = torch.tensor([0.387934, 0.204637])
    torch.testing.assert_close(kl_divergence(8.0 * Z, 8.0 * Z_ADV), rows, rtol=0, atol=1e-6)


def test_golden_gradient_of_the_consistency():
    z_adv = Z_ADV.clone().requires_grad_()
    pair_consistency(Z, z_adv, *DEFAULTS).mean().backward()
    expected = torch.tensor(
        [[-2.872783, 2.670305, 0.064243, 0.138234], [0.012541, 1.097853, -0.001291, -1.109103]]
    )
    assert z_adv.grad is not None
    torch.testing.assert_close(z_adv.grad, expected, rtol=0, atol=2e-6)


def test_consistency_is_the_sum_of_squares_and_the_divergence():
    log_p, log_q = (8.0 * Z).log_softmax(1), (8.0 * Z_ADV).log_softmax(1)
    summand = log_p.exp() * (log_p - log_q)
    expected = summand.square().sum(1) + 0.7 * summand.sum(1)
    torch.testing.assert_close(pair_consistency(Z, Z_ADV, 8.0, 0.7), expected)
    assert (summand < 0).any()  # so that the offset must go in before the sum


def test_consistency_and_its_gradient_are_zero_at_the_clean_output():
    z_adv = Z.clone().requires_grad_()
    loss = pair_consistency(Z, z_adv, *DEFAULTS)
    loss.sum().backward()
    assert torch.equal(loss, torch.zeros(2))
    assert z_adv.grad is not None and z_adv.grad.abs().max() < 1e-6


def test_the_clean_side_of_the_consistency_carries_a_gradient():
    z = Z.clone().requires_grad_()
    pair_consistency(z, Z_ADV, *DEFAULTS).sum().backward()
    assert z.grad is not None and z.grad.abs().max() > 1.0


def optimum(num_classes: int, margin: float = 0.2) -> Tensor:
    z = torch.full((1, num_classes), -margin / 2)
    z[0, 0] = (1 + margin) / 2
    return z


@pytest.mark.parametrize(
    ("num_classes", "scale", "floor"),
    [(10, 8.0, 0.38279), (10, 5.0, 0.88176), (100, 8.0, 1.81321), (100, 5.0, 2.80738)],
)
def test_loss_floor(num_classes, scale, floor):
    assert self_paced_floor(num_classes, scale, 0.2) == pytest.approx(floor, abs=1e-5)
    label, z = torch.tensor([0]), optimum(num_classes).requires_grad_()
    loss = self_paced_loss(z, label, scale, 0.2)
    loss.sum().backward()
    assert loss.item() == pytest.approx(floor, abs=1e-5)
    assert z.grad is not None and z.grad.abs().max() < 1e-5


@pytest.mark.parametrize(("num_classes", "margin"), [(3, 0.0), (10, 0.2), (10, 1.0), (100, 0.5)])
def test_no_cosines_beat_the_floor(num_classes, margin):
    z = 2.0 * torch.rand(2000, num_classes, generator=torch.Generator().manual_seed(0)) - 1.0
    z = torch.cat([z, optimum(num_classes, margin)])
    loss = self_paced_loss(z, torch.zeros(len(z)).long(), 8.0, margin)
    floor = self_paced_floor(num_classes, 8.0, margin)
    assert loss.min().item() == pytest.approx(floor, rel=1e-3)


def derivative(z: Tensor, loss_function, column: int) -> float:
    z = z.clone()[None].requires_grad_()
    loss_function(z, torch.tensor([0])).sum().backward()
    assert z.grad is not None
    return z.grad[0, column].item()


@pytest.mark.parametrize(("cosine", "slope"), [(0.59, -0.054), (0.61, 0.054), (0.95, 3.21)])
def test_the_label_is_pushed_down_above_its_optimum(cosine, slope):
    z = torch.zeros(10)
    z[0] = cosine
    loss_function = partial(self_paced_loss, scale=8.0, margin=0.2)
    digits = 5e-3 if slope > 1 else 5e-4
    assert derivative(z, loss_function, 0) == pytest.approx(slope, abs=digits)


@pytest.mark.parametrize(
    ("cosine", "self_paced", "plain"),
    [(-0.15, -0.030, 0.038), (0.1, 0.158, 0.275), (0.3, 0.765, 1.198), (0.5, 3.861, 3.727)],
)
def test_only_really_hard_classes_weigh_more_than_in_cross_entropy(cosine, self_paced, plain):
    z = torch.zeros(10)
    z[0], z[1] = 0.5, cosine
    loss_function = partial(self_paced_loss, scale=8.0, margin=0.2)
    assert derivative(z, loss_function, 1) == pytest.approx(self_paced, abs=6e-4)
    slope = derivative(z, lambda z, y: F.cross_entropy(8.0 * z, y), 1)
    assert slope == pytest.approx(plain, abs=6e-4)


def test_losses_are_float32_of_bfloat16_cosines():
    z, z_adv = Z.bfloat16(), Z_ADV.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = (self_paced_loss(z, Y, *DEFAULTS), pair_consistency(z, z_adv, *DEFAULTS))
    expected = (
        self_paced_loss(z.float(), Y, *DEFAULTS),
        pair_consistency(z.float(), z_adv.float(), *DEFAULTS),
    )
    for loss, exact in zip(found, expected, strict=True):
        assert loss.dtype == torch.float32
        assert torch.equal(loss, exact)


@pytest.mark.parametrize("num_classes", [2, 3, 100])
def test_any_number_of_classes(num_classes):
    model, method = attached(num_classes, num_steps=2)
    output = method.training_loss(model, batch(num_classes=num_classes))
    assert math.isfinite(output.loss.item())
    floor = self_paced_floor(num_classes, 8.0, 0.2) - 0.1  # a bias
    assert output.terms["self_paced_loss"] >= floor


def test_the_loss_is_its_two_terms_and_the_attack_raises_the_second():
    model, method = attached(beta=3.0)
    torch.manual_seed(0)
    output = method.training_loss(model, batch())
    terms = output.terms
    assert output.loss.item() == pytest.approx(
        terms["self_paced_loss"] + 3.0 * terms["pair_consistency"], rel=1e-6
    )
    still, method = attached(beta=3.0, epsilon=0.0)
    assert method.training_loss(still, batch()).terms["pair_consistency"] < 1e-10
    assert terms["pair_consistency"] > 1e-6


def test_attack_needs_no_label_and_runs_on_cached_clean_logits():
    seen = []
    for shift in (0, 1):
        model, method = attached(num_steps=3)
        passes = record(model)
        torch.manual_seed(0)
        images = batch()
        method.training_loss(model, Batch(images.x, (images.y + shift) % 4, images.index))
        # once clean, three steps of the attack, then the clean and the attacked batch
        assert [training for training, _ in passes] == 4 * [False] + 2 * [True]
        assert torch.equal(passes[0][1], images.x) and torch.equal(passes[4][1], images.x)
        assert passes[1][1].sub(images.x).std().item() == pytest.approx(1e-3, rel=0.1)
        delta = passes[5][1] - images.x
        assert 0.01 < delta.abs().max() <= 0.031 + 1e-6
        seen.append(passes[5][1])
    assert torch.equal(*seen)


def test_the_attack_maximises_the_consistency_with_scale_and_offset():
    moved = []
    variants: list[dict[str, Any]] = [
        {},
        {"scale": 20.0},
        {"offset": 50.0},
        {"margin": 0.4},
        {"beta": 1.0},
    ]
    for parameters in variants:
        model, method = attached(num_steps=4, **parameters)
        passes = record(model)
        torch.manual_seed(0)
        method.training_loss(model, batch())
        moved.append(passes[-1][1])
    default, scale, offset, margin, beta = moved
    assert not torch.equal(default, scale)
    assert not torch.equal(default, offset)
    assert torch.equal(default, margin)
    assert torch.equal(default, beta)


def test_batch_norm_sees_the_clean_and_then_the_attacked_batch():
    model, method = attached()
    trunk_norm = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    method.training_loss(model, batch())
    assert trunk_norm.num_batches_tracked is not None
    assert trunk_norm.num_batches_tracked.item() == 2


def test_radius_grows():
    model, method = attached(warmup_epochs=4, num_steps=8)
    passes = record(model)
    images = batch()
    for epoch, radius in ((0, 0.0), (1, 0.031 / 4), (4, 0.031)):
        method.on_epoch_start(epoch, 10)
        method.training_loss(model, images)
        assert (passes[-1][1] - images.x).abs().max().item() == pytest.approx(radius, abs=1e-6)


def test_the_recipe_of_the_last_release_is_the_default():
    settings = create_method("spat").settings
    assert (settings.scale, settings.margin, settings.offset, settings.beta) == (8.0, 0.2, 0.2, 6.0)
    assert (settings.epsilon, settings.step_size, settings.num_steps) == (0.031, 0.007, 10)


def test_a_network_without_cosine_head_is_refused_in_one_sentence():
    with pytest.raises(InputError) as error:
        create_method("spat").attach(create_model("small_cnn", (1, 8, 8), 4))
    assert str(error.value) == (
        'spat needs a network with a cosine head (head "cosine"), got a SmallCNN with another'
    )


def test_clean_and_robust_accuracy_go_through_one_function():
    model = attached()[0].eval()
    passes = record(model)
    images = batch()
    report = evaluate(model, images.x, images.y, create_attack("pgd", num_steps=1, epsilon=0.0))
    with torch.no_grad():
        correct = (model(images.x).argmax(1) == images.y).float().mean().item()
    assert passes
    assert report.clean_accuracy == report.robust_accuracy == pytest.approx(correct)


def test_inferences_are_the_scaled_logits_and_the_released_natural_evaluation():
    model, method = attached(scale=5.0)
    model.eval()
    images = batch()
    with torch.no_grad():
        scaled, raw = (method.inference(name, model) for name in method.inferences(model))
        torch.testing.assert_close(scaled(images.x), 5.0 * model(images.x))
        lengths = model.features(images.x).norm(dim=1, keepdim=True)
        bias = cosine_head(model, "a test").bias
        torch.testing.assert_close(raw(images.x), (model(images.x) - bias) * lengths + bias)
    with pytest.raises(InputError, match="inference"):
        method.inference("other", model)


def test_the_floor_is_known_to_whoever_watches_the_training():
    floors = create_method("spat", {"scale": 8.0, "margin": 0.2}).loss_floors(10)
    assert floors == {"self_paced_loss": pytest.approx(0.383, abs=5e-4)}
    assert create_method("trades").loss_floors(10) == {}
