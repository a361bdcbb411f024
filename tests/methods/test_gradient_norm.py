"""The gradient-norm penalty against the first-order worst case of a linear model."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.methods.base import create_method
from tests.methods.pag_examples import SHAPE, AsClassifier, Y, batch_of, network
from tests.toys import middle_images


@pytest.fixture
def x() -> Tensor:
    return middle_images(8, SHAPE)


@pytest.mark.parametrize(("norm", "order"), [("Linf", 1), ("L2", 2)])
def test_gradient_norm_is_the_first_order_worst_case_of_a_linear_model(x, norm, order):
    model = AsClassifier(num_classes=2, scale=0.3)
    y = Y % 2
    method = create_method("gradient_norm", {"norm": norm, "epsilon": 0.05, "weight": 2.0})
    output = method.training_loss(model, batch_of(x, y))
    w = model.weight[1] - model.weight[0]
    p_wrong = 1 - model(x).softmax(1)[torch.arange(8), y]
    expected = F.cross_entropy(model(x), y) + 0.1 * (p_wrong * w.norm(p=order)).mean()
    torch.testing.assert_close(output.loss, expected)
    smaller = create_method("gradient_norm", {"norm": norm, "epsilon": 1e-4})
    worst = math.nan
    with torch.no_grad():
        w_dual = w.norm(p=order)
        margin = (model(x)[:, 1] - model(x)[:, 0]) * (2 * y - 1)
        worst = F.softplus(-(margin - 1e-4 * w_dual)).mean().item()
    assert smaller.training_loss(model, batch_of(x, y)).loss.item() == pytest.approx(
        worst, abs=1e-5
    )


def test_gradient_norm_trains_every_weight(x):
    model: nn.Module = network()
    create_method("gradient_norm").training_loss(model, batch_of(x)).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
