import math

import pytest
import torch
from torch import Tensor, nn

from robust_core.attacks.criterion import Criterion
from robust_core.errors import InputError
from robust_core.gradients import conflict, input_gradient, predict_logits
from robust_core.models.modes import evaluation_mode
from tests.toys import LinearModel, SmallNet, labels, middle_images


def test_gradient_of_a_linear_model_is_in_closed_form():
    model, x, y = LinearModel(), middle_images(6), labels(6)
    result = input_gradient(model, x, Criterion("cross_entropy", y))
    logits = model(x).detach()
    residual = logits.softmax(1) - torch.eye(3)[y]
    torch.testing.assert_close(result.gradient.flatten(1), (residual @ model.weight).detach())
    torch.testing.assert_close(result.logits, logits)


def test_an_images_gradient_does_not_depend_on_its_batch():
    model, x, y = SmallNet().eval(), middle_images(5, (1, 8, 8)), labels(5)
    whole = input_gradient(model, x, Criterion("cross_entropy", y)).gradient
    alone = input_gradient(model, x[3:4], Criterion("cross_entropy", y[3:4])).gradient
    torch.testing.assert_close(whole[3:4], alone)


def test_parameter_gradients_are_left_alone():
    model, x, y = SmallNet().eval(), middle_images(2, (1, 8, 8)), labels(2)
    input_gradient(model, x, Criterion("margin", y))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not x.requires_grad


class NoisyLinear(LinearModel):
    """A linear model whose logits carry zero-mean multiplicative noise."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * (1 + torch.randn_like(x)))


def test_eot_averages_the_noise_away():
    model, x, y = NoisyLinear(), middle_images(1), labels(1)
    clean = input_gradient(LinearModel(), x, Criterion("margin", y)).gradient

    def error(samples: int) -> float:
        torch.manual_seed(0)
        noisy = input_gradient(model, x, Criterion("margin", y), eot_samples=samples)
        return (noisy.gradient - clean).norm().item() / clean.norm().item()

    assert error(400) < 0.3 * error(1)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (lambda x: (x, x), "must return logits \\[N,K\\], got a tuple"),
        (lambda x: x, r"must return logits \[2,K\], got shape \[2, 1, 4, 4\]"),
        (lambda x: x.flatten(1)[:1], r"must return logits \[2,K\], got shape \[1, 16\]"),
    ],
)
def test_a_model_that_returns_no_logits_is_refused(output, sentence):
    class Wrong(nn.Module):
        def forward(self, x: Tensor):
            return output(x)

    with pytest.raises(InputError, match=sentence):
        predict_logits(Wrong(), middle_images(2))


def test_evaluation_mode_restores_every_modules_own_mode():
    model = SmallNet().train()
    model.layers[1].eval()
    with evaluation_mode(model):
        assert not any(module.training for module in model.modules())
    assert model.training
    assert not model.layers[1].training
    assert model.layers[3].training


def test_conflict_is_in_closed_form():
    one = torch.zeros(1, 3, 1, 2, 2)
    one[0, :, 0, 0, 0] = torch.tensor([1.0, 5.0, 0.1])  # all one direction
    assert conflict(one).item() == pytest.approx(1.0, abs=1e-6)
    opposite = one * torch.tensor([1.0, -3.0, 1.0]).view(1, 3, 1, 1, 1)
    assert conflict(opposite).item() == pytest.approx(0.0, abs=1e-6)
    orthogonal = torch.eye(4).view(1, 4, 1, 2, 2)
    found = conflict(torch.cat([orthogonal, 7 * orthogonal.flip(1)]))
    torch.testing.assert_close(found, torch.full((2,), 0.5))  # 1 / sqrt(K)
    angle = torch.tensor([0.0, 0.8])
    two = torch.stack([angle.cos(), angle.sin()], dim=1).view(1, 2, 1, 1, 2)
    assert conflict(two).item() == pytest.approx(math.cos(0.4), abs=1e-6)
