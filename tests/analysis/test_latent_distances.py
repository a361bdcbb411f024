"""Distances between features, class by class and layer by layer, each against a closed form."""

import math

import pytest
import torch
from torch import Tensor, nn

from robust_core.analysis.latent_distances import (
    centroid_drift,
    class_distances,
    layer_distances,
    maximum_mean_discrepancy,
    neighbour_overlap,
    short_coordinates,
    spread,
    wasserstein_along_drift,
)
from robust_core.models.base import create_model
from tests.toys import labels, middle_images


def cloud(n: int = 40, dimensions: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(seed))


def test_distances_of_a_shift():
    clean, shift = cloud(), torch.tensor([3.0, 0.0, 4.0, 0.0, 0.0, 0.0])
    assert centroid_drift(clean, clean + shift) == pytest.approx(5.0, rel=1e-5)
    assert wasserstein_along_drift(clean, clean + shift) == pytest.approx(5.0, rel=1e-5)


def test_wasserstein_sees_a_spread_that_the_drift_hides():
    clean = torch.zeros(4, 2)
    attacked = torch.tensor([[-1.0, 0.0], [3.0, 0.0], [-1.0, 0.0], [3.0, 0.0]])
    assert centroid_drift(clean, attacked) == pytest.approx(1.0)
    assert wasserstein_along_drift(clean, attacked) == pytest.approx(2.0)


def test_nothing_moved():
    clean = cloud()
    for row in class_distances(clean, clean, labels(40)):
        assert (row.drift, row.wasserstein, row.overlap) == (0.0, 0.0, 1.0)
        assert row.mmd == pytest.approx(0.0, abs=1e-6)


def test_mmd_of_two_points_far_apart():
    """Two samples at one place each, distance d: most distances are d, so k = exp(-1/2)."""
    clean, attacked = torch.zeros(5, 3), torch.zeros(5, 3)
    attacked[:, 1] = 7.0
    expected = math.sqrt(2 - 2 * math.exp(-0.5))
    assert maximum_mean_discrepancy(clean, attacked) == pytest.approx(expected)


def test_mmd_against_its_definition():
    clean, attacked = cloud(4).double(), cloud(3, seed=1).double() + 0.5
    points = [*clean, *attacked]
    apart = [float((p - q).norm()) for i, p in enumerate(points) for q in points[i + 1 :]]
    width = sorted(apart)[len(apart) // 2]  # 21 distances, the eleventh

    def mean_kernel(first: Tensor, second: Tensor) -> float:
        values = [
            math.exp(-(float((p - q).norm()) ** 2) / (2 * width**2)) for p in first for q in second
        ]
        return sum(values) / len(values)

    squared = mean_kernel(clean, clean) + mean_kernel(attacked, attacked)
    squared -= 2 * mean_kernel(clean, attacked)
    found = maximum_mean_discrepancy(clean.float(), attacked.float())
    assert found == pytest.approx(math.sqrt(squared), rel=1e-5)


def test_neighbours_kept():
    line = torch.arange(10.0)[:, None]
    assert neighbour_overlap(line, line, 2).tolist() == [1.0] * 10
    moved = line.clone()
    moved[0] = 9.0  # its neighbours 1, 2 become 9, 8
    moved[9] = 6.6  # its neighbours 8, 7 become 7, 6
    assert neighbour_overlap(line, moved, 2).tolist() == [0.0] + [1.0] * 8 + [0.5]


def test_rows_of_distances_are_all_images_and_then_each_class():
    y = torch.tensor([0] * 20 + [2] * 19 + [5])
    clean = cloud()
    attacked = clean.clone()
    attacked[:20] += 4.0
    rows = class_distances(clean, attacked, y)
    assert [(row.label, row.num_images) for row in rows] == [(None, 40), (0, 20), (2, 19)]
    assert rows[1].drift > rows[0].drift > rows[2].drift == 0.0


def test_spread_and_what_is_measured_in_it():
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert spread(square) == pytest.approx(math.sqrt(2))
    (row, _) = class_distances(square, square + torch.tensor([3.0, 0.0]), torch.zeros(4).long())
    assert row.drift_in_spreads == row.wasserstein_in_spreads == pytest.approx(3 / math.sqrt(2))
    alike = class_distances(torch.ones(4, 2), torch.zeros(4, 2), torch.zeros(4).long())[0]
    assert math.isnan(alike.drift_in_spreads) and math.isnan(alike.wasserstein_in_spreads)


def test_short_coordinates_keep_every_inner_product():
    points = cloud(12, 300).double() + 4.0
    short = short_coordinates(points)
    assert short.shape == (12, 12)
    torch.testing.assert_close(short @ short.T, points @ points.T)
    assert short_coordinates(cloud(12, 5)).shape == (12, 5)


def test_distances_of_each_layer_in_closed_form():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4, bias=False), nn.ReLU(), nn.Linear(4, 2))
    x, y = middle_images(5), torch.zeros(5, dtype=torch.int64)
    first, last = layer_distances(model, x, 1.5 * x, y)
    assert (first.layer, last.layer) == ("1", "3")
    (row, same) = first.rows
    assert row.relative == pytest.approx(0.5, rel=1e-5)
    assert row.angle == pytest.approx(0.0, abs=1e-6)
    centre = model[1](x.flatten(1)).detach().mean(dim=0)
    assert row.drift == same.drift == pytest.approx(float(0.5 * centre.norm()), rel=1e-5)
    assert not any(module._forward_hooks for module in model.modules())
    (turned, _) = layer_distances(model, x, -x, y)[0].rows
    assert turned.relative == turned.angle == pytest.approx(2.0, rel=1e-5)


def test_distances_of_a_wide_layer_are_those_of_its_output():
    """More outputs than images: what is measured in short coordinates is what the layer says."""
    model = create_model("small_cnn", (1, 8, 8), 3, {"width": 4}).train()
    x, y = middle_images(12, (1, 8, 8)), labels(12)
    x_adv = (x + 0.1 * middle_images(12, (1, 8, 8), seed=5).sub(0.5).sign()).clamp(0, 1)
    found = layer_distances(model, x, x_adv, y)
    assert model.training
    assert [layer.layer for layer in found] == [
        "layers.0",
        "layers.2",
        "layers.4",
        "layers.7",
        "classifier",
    ]
    layer = model.get_submodule("layers.0")
    clean, attacked = (
        layer(model.get_submodule("normalize")(part)).detach().flatten(1).double()
        for part in (x, x_adv)
    )
    assert clean.shape[1] > 2 * len(x)
    for row, expected in zip(found[0].rows, class_distances(clean, attacked, y), strict=True):
        assert row.label == expected.label
        assert list(vars(row).values())[1:] == pytest.approx(
            list(vars(expected).values())[1:], rel=1e-5
        )


class TwoViews(nn.Module):
    """Sees every image twice, the second time twice as bright; the views come first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        views = torch.cat([x, 2 * x]).flatten(1)
        return self.layer(views).unflatten(0, (2, -1)).mean(dim=0)


def test_views_of_an_image_are_averaged():
    model, x, y = TwoViews(), middle_images(6), labels(6)
    x_adv = 1 - x
    (found,) = layer_distances(model, x, x_adv, y)
    clean, attacked = (model(part).detach() for part in (x, x_adv))
    expected = class_distances(clean, attacked, y)[0]
    assert found.rows[0].drift == pytest.approx(expected.drift, rel=1e-5)
    assert found.rows[0].angle == pytest.approx(expected.angle, rel=1e-4)


def test_no_layer_moves_where_no_image_does():
    model = create_model("small_cnn", (1, 8, 8), 3, {"width": 4})
    x = middle_images(20, (1, 8, 8))
    for layer in layer_distances(model, x, x, labels(20)):
        for row in layer.rows:
            assert row.overlap == 1.0
            assert (row.drift, row.wasserstein, row.relative) == pytest.approx((0, 0, 0), abs=1e-9)
