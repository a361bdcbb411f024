"""Attacks on models where the best perturbation is known."""

import pytest
import torch
import torch.nn.functional as F

from robust_core.attacks.base import create_attack
from robust_core.losses import margin
from tests.toys import LinearModel, SmallNet, labels, middle_images


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mim"])
def test_linf_lowers_a_two_class_margin_by_epsilon_times_the_l1_norm(name):
    model, x = LinearModel(num_classes=2), middle_images(8)
    y = labels(8, num_classes=2)
    x_adv = create_attack(name, epsilon=0.05)(model, x, y)
    w = model.weight[1] - model.weight[0]
    expected = margin(model(x), y) + 0.05 * w.abs().sum()
    torch.testing.assert_close(margin(model(x_adv), y), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "parameters"), [("fgsm", {}), ("pgd", {"step_size": 0.2}), ("mim", {})]
)
def test_l2_lowers_a_two_class_margin_by_epsilon_times_the_l2_norm(name, parameters):
    model, x = LinearModel(num_classes=2), middle_images(8)
    y = labels(8, num_classes=2)
    x_adv = create_attack(name, norm="L2", epsilon=0.2, **parameters)(model, x, y)
    w = model.weight[1] - model.weight[0]
    expected = margin(model(x), y) + 0.2 * w.norm()
    torch.testing.assert_close(margin(model(x_adv), y), expected, rtol=2e-3, atol=2e-3)


def test_fgsm_is_the_formula():
    model, x, y = SmallNet().eval(), middle_images(4, (1, 8, 8)), labels(4)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(leaf), y), leaf)
    expected = (x + 0.1 * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(create_attack("fgsm", epsilon=0.1)(model, x, y), expected)


def test_pgd_is_the_loop_of_the_paper():
    model, x, y = SmallNet().eval(), middle_images(4, (1, 8, 8)), labels(4)
    x_adv = x.clone()
    for _ in range(5):
        leaf = x_adv.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(leaf), y), leaf)
        x_adv = (x_adv + 0.03 * gradient.sign()).clamp(x - 0.1, x + 0.1).clamp(0, 1)
    attack = create_attack("pgd", epsilon=0.1, step_size=0.03, num_steps=5, random_start=False)
    torch.testing.assert_close(attack(model, x, y), x_adv)


def test_mim_is_algorithm_1_of_the_paper():
    model, x, y = SmallNet().eval(), middle_images(4, (1, 8, 8)), labels(4)
    x_adv, velocity = x.clone(), torch.zeros_like(x)
    for _ in range(5):
        leaf = x_adv.clone().requires_grad_()
        loss = F.cross_entropy(model(leaf), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        velocity = 0.9 * velocity + gradient / gradient.abs().sum((1, 2, 3), keepdim=True)
        x_adv = (x_adv + 0.02 * velocity.sign()).clamp(x - 0.1, x + 0.1).clamp(0, 1)
    attack = create_attack("mim", epsilon=0.1, step_size=0.02, num_steps=5, decay=0.9)
    torch.testing.assert_close(attack(model, x, y), x_adv)


def test_automatic_step_size_is_two_and_a_half_radii_over_the_steps():
    model, x, y = SmallNet().eval(), middle_images(4, (1, 8, 8)), labels(4)
    automatic = create_attack("pgd", epsilon=0.1, num_steps=5)(model, x, y)
    explicit = create_attack("pgd", epsilon=0.1, num_steps=5, step_size=0.05)(model, x, y)
    assert torch.equal(automatic, explicit)


def test_restarts_only_help_and_skip_what_has_fallen():
    model, x = LinearModel((1, 4, 4)), middle_images(60)
    y = model(x).argmax(1)

    def survivors(num_restarts: int):
        seen = []
        attack = create_attack("pgd", epsilon=0.04, num_steps=2, num_restarts=num_restarts)
        x_adv = attack(model, x, y, on_step=lambda step: seen.append(len(step.x_adv)))
        return model(x_adv).argmax(1) == y, seen

    once, _ = survivors(1)
    often, seen = survivors(6)
    assert not (often & ~once).any()
    assert 0 < often.sum() < 60
    assert seen[0] == 60
    assert seen[-1] < 60


def test_margin_and_cross_entropy_agree_on_two_classes():
    model, x, y = LinearModel(num_classes=2), middle_images(8), labels(8, num_classes=2)
    attacks = [
        create_attack("pgd", epsilon=0.05, loss=loss) for loss in ("cross_entropy", "margin")
    ]
    first, second = (attack(model, x, y) for attack in attacks)
    torch.testing.assert_close(first, second)
