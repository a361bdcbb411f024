"""The self-paced surface and the consistency term against the released code's numbers."""

import math

import pytest
import torch
import torch.nn.functional as F

from robust_core.analysis.self_paced import (
    class_cosines,
    mean_weights,
    pair_consistency,
    self_paced_surface,
)
from robust_core.errors import InputError
from robust_core.losses import self_paced_weights
from robust_core.models.base import create_model
from tests.models.examples import retinotopic, small_model
from tests.toys import middle_images

Z = torch.tensor([[0.50, 0.30, -0.10, 0.05], [0.10, 0.45, -0.20, 0.35]])
Z_ADV = torch.tensor([[0.35, 0.40, -0.05, 0.05], [0.15, 0.50, -0.25, 0.20]])
Y = torch.tensor([0, 3])


def self_paced_loss(z: torch.Tensor, y: torch.Tensor, scale: float) -> torch.Tensor:
    return F.cross_entropy(scale * self_paced_weights(z, y, 0.2) * z, y)


def test_cosines_are_the_logits_of_a_cosine_head_and_scaled_ones_of_a_linear_one():
    x = middle_images(5, (1, 8, 8))
    sphere = create_model("small_cnn", (1, 8, 8), 3, {"width": 4, "head": "cosine"}).train()
    found = class_cosines(sphere, x, batch_size=2)
    assert found is not None and sphere.training
    torch.testing.assert_close(found, sphere.eval()(x).detach())
    plain = create_model("small_cnn", (1, 8, 8), 3, {"width": 4}).eval()
    found, head = class_cosines(plain, x), plain.classifier
    assert found is not None and isinstance(head, torch.nn.Linear)
    lengths = plain.features(x).norm(dim=1)[:, None] * head.weight.norm(dim=1)
    torch.testing.assert_close(found * lengths + head.bias, plain(x))
    plain.classifier = torch.nn.Identity()
    assert class_cosines(plain, x) is None


def test_cosines_of_random_views_are_those_of_the_views_features_alone():
    model = retinotopic(num_views=1)
    with torch.no_grad():
        model.backbone.get_parameter("classifier.bias").zero_()
    x = middle_images(5, (3, 16, 16))
    torch.manual_seed(0)
    found, weight = class_cosines(model, x), model.backbone.get_parameter("classifier.weight")
    torch.manual_seed(0)
    z = model.features(x).detach()
    assert found is not None
    lengths = z[:, :-1].norm(dim=1)[:, None] * weight.detach().norm(dim=1)
    torch.testing.assert_close(found * lengths, model.head(z).detach())


def test_a_network_without_weights_for_every_class_has_no_cosines():
    assert class_cosines(small_model("denoiser"), middle_images(2, (3, 16, 16))) is None


@pytest.mark.parametrize(("scale", "expected"), [(8.0, 0.52838834), (5.0, 0.72146874)])
def test_weights_give_the_released_loss(scale, expected):
    assert self_paced_loss(Z, Y, scale).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("num_classes", "scale", "floor"),
    [(10, 8.0, 0.38279), (10, 5.0, 0.88176), (100, 8.0, 1.81321), (100, 5.0, 2.80738)],
)
def test_the_floor_is_that_of_the_released_loss(num_classes, scale, floor):
    assert self_paced_surface(num_classes, scale).floor == pytest.approx(floor, abs=1e-5)


@pytest.mark.parametrize(("offset", "scale"), [(0.2, 8.0), (0.5, 3.0), (0.0, 15.0)])
def test_the_lowest_point_of_the_surface_is_the_optimum(offset, scale):
    surface = self_paced_surface(10, scale, offset, size=401)
    assert surface.loss.min().item() == pytest.approx(surface.floor, abs=1e-3)
    row, column = divmod(int(surface.loss.argmin()), 401)
    assert surface.similarity[row].item() == pytest.approx(surface.best_label, abs=0.006)
    assert surface.similarity[column].item() == pytest.approx(surface.best_wrong, abs=0.006)
    assert (surface.loss >= surface.floor - 1e-6).all()


def test_the_surface_is_the_loss_with_all_wrong_classes_alike():
    surface = self_paced_surface(size=21)
    for row, column in ((3, 17), (16, 9), (20, 20)):
        z = torch.full((1, 10), float(surface.similarity[column]))
        z[0, 4] = surface.similarity[row]
        expected = self_paced_loss(z, torch.tensor([4]), 8.0)
        assert surface.loss[row, column].item() == pytest.approx(expected.item(), rel=1e-5)
        logits = 8.0 * self_paced_weights(z, torch.tensor([4]), 0.2) * z
        assert surface.label_logit[row].item() == pytest.approx(logits[0, 4].item(), rel=1e-5)
        assert surface.wrong_logit[column].item() == pytest.approx(logits[0, 0].item(), rel=1e-5)


@pytest.mark.parametrize(("label", "slope"), [(0.59, -0.054), (0.61, 0.054), (0.95, 3.21)])
def test_a_similarity_above_the_optimum_is_pushed_down_again(label, slope):
    z = torch.zeros(1, 10)
    z[0, 0] = label
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(self_paced_loss(z, torch.tensor([0]), 8.0), z)
    assert gradient[0, 0].item() == pytest.approx(slope, abs=0.006)


@pytest.mark.parametrize(
    ("wrong", "slope"), [(-0.15, -0.030), (0.1, 0.158), (0.3, 0.765), (0.5, 3.861)]
)
def test_a_similar_class_weighs_more(wrong, slope):
    z = torch.zeros(1, 10)
    z[0, 0], z[0, 1] = 0.5, wrong
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(self_paced_loss(z, torch.tensor([0]), 8.0), z)
    assert gradient[0, 1].item() == pytest.approx(slope, abs=6e-4)


def test_mean_weights_are_those_of_each_class():
    found = mean_weights(torch.stack([Z[0], Z_ADV[0]]), torch.tensor([0, 0]), 0.2)
    expected = torch.tensor([1.2 - 0.425, 0.55, 0.125, 0.25])
    torch.testing.assert_close(found[0], expected)
    assert found[1:].isnan().all()


@pytest.mark.parametrize(
    ("scale", "robust", "divergence"),
    [(8.0, 0.35808427, 0.29628556), (5.0, 0.14703982, 0.13059587)],
)
def test_consistency_splits_the_released_term(scale, robust, divergence):
    found = pair_consistency(Z, Z_ADV, Y, scale=scale, offset=0.2)
    assert found.squares + found.divergence == pytest.approx(robust, abs=1e-6)
    assert found.divergence == pytest.approx(0.2 * divergence, abs=1e-6)
    assert found.share_of_squares == pytest.approx(1 - 0.2 * divergence / robust, abs=1e-6)


def test_consistency_is_ordered_from_the_label_to_the_easiest_class():
    found = pair_consistency(Z, Z_ADV, Y, scale=8.0, offset=0.2)
    # t of the released code; row 0 in the order 0 1 3 2, row 1 in the order 3 1 0 2
    first = torch.tensor([0.607202, -0.203719, -0.009906, -0.005644])
    second = torch.tensor([0.393517, -0.179861, -0.010937, 0.001920])
    torch.testing.assert_close(found.by_rank, (first + second) / 2, rtol=0, atol=1e-6)


def test_equal_outputs_have_no_inconsistency():
    found = pair_consistency(Z, Z, Y, scale=8.0, offset=0.2)
    assert found.squares == found.divergence == 0.0
    assert math.isnan(found.share_of_squares)


def test_wrong_values_are_told_in_one_sentence():
    with pytest.raises(InputError, match="at least 2 classes, a scale above 0"):
        self_paced_surface(1)
    with pytest.raises(InputError, match=r"got 10, -1, 0\.2 and 101"):
        self_paced_surface(10, -1.0)
