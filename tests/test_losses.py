import math

import pytest
import torch

from robust_core.losses import (
    accuracy_count,
    cosine_floor,
    cross_entropy,
    is_correct,
    kl_divergence,
    margin,
)


def test_cross_entropy_of_equal_logits_is_log_k():
    loss = cross_entropy(torch.zeros(2, 5), torch.tensor([0, 4]))
    torch.testing.assert_close(loss, torch.full((2,), math.log(5)))


def test_margin_is_best_wrong_minus_true():
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 4.0, 1.0]])
    torch.testing.assert_close(margin(logits, torch.tensor([0, 2])), torch.tensor([-0.5, 3.0]))


def test_kl_divergence_matches_the_definition_and_vanishes_at_equality():
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.2, 0.5, 0.3])
    expected = sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
    value = kl_divergence(p.log()[None], q.log()[None] + 3.0)
    assert abs(value.item() - expected) < 1e-6
    assert kl_divergence(p.log()[None], p.log()[None] - 7.0).abs().item() < 1e-7


@pytest.mark.parametrize(("num_classes", "floor"), [(2, 0.127), (10, 0.797), (100, 2.667)])
def test_no_cosines_have_a_lower_cross_entropy_than_the_floor(num_classes, floor):
    best = torch.full((1, num_classes), -1.0)
    best[0, 0] = 1.0
    assert cosine_floor(num_classes) == pytest.approx(floor, abs=5e-4)
    loss = cross_entropy(best, torch.tensor([0])).item()
    assert loss == pytest.approx(cosine_floor(num_classes), rel=1e-5)
    drawn = 2.0 * torch.rand(500, num_classes, generator=torch.Generator().manual_seed(0)) - 1.0
    assert cross_entropy(drawn, torch.zeros(500).long()).min() > cosine_floor(num_classes)


def test_losses_are_float32_on_half_precision_logits():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    y = torch.tensor([0, 1, 2, 0])
    for loss in (cross_entropy(logits, y), margin(logits, y), kl_divergence(logits, -logits)):
        assert loss.dtype is torch.float32


def test_nan_logits_are_never_correct():
    logits = torch.tensor([[float("nan"), 1.0], [2.0, 1.0]])
    assert is_correct(logits, torch.tensor([0, 0])).tolist() == [False, True]
    assert accuracy_count(logits, torch.tensor([0, 0])) == 1
