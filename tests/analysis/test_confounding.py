import pytest
import torch
from torch import Tensor, nn

from robust_core.analysis.confounding import (
    background_share,
    confounder_reliance,
    draw_counterfactuals,
)
from robust_core.errors import InputError


class ColourReader(nn.Module):
    """Predicts the background's colour: the channel with the largest mean."""

    def forward(self, x: Tensor) -> Tensor:
        return 100 * x.mean(dim=(2, 3))


class ShapeReader(nn.Module):
    """Predicts from black pixels alone: how wide the shape is at its top and its middle."""

    def forward(self, x: Tensor) -> Tensor:
        width = (x.amax(dim=1) < 0.5).sum(dim=2).float()  # [N, H], of the shape in each row
        largest = width.amax(dim=1)
        height = (width > 0).sum(dim=1)
        fill = width.sum(dim=1) / (largest * height)  # 1 square, pi/4 circle, 1/2 triangle
        target = torch.tensor([torch.pi / 4, 1.0, 0.5])
        return -(fill[:, None] - target).abs()


def test_reading_the_background_is_full_reliance():
    images = draw_counterfactuals("colour_blocks", 60)
    assert images.x.shape == (3, 60, 3, 64, 64)
    found = confounder_reliance(ColourReader(), images)
    assert found.tied_accuracy == found.followed == found.reliance == 1.0
    assert found.conflicting_accuracy == 0.0


def test_reading_the_shape_is_no_reliance():
    found = confounder_reliance(ShapeReader(), draw_counterfactuals("colour_blocks", 60, seed=4))
    assert found.tied_accuracy == found.conflicting_accuracy == 1.0
    assert found.reliance == found.followed == 0.0


def test_shares_are_counts_of_the_outcomes():
    images = draw_counterfactuals("colour_blocks", 60)

    class Always(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([1.0, 0.0, 0.0]).expand(len(x), 3)

    found = confounder_reliance(Always(), images)
    assert found.prediction.shape == (3, 60) and not found.prediction.any()
    assert found.tied_accuracy == pytest.approx(1 / 3)
    assert found.conflicting_accuracy == pytest.approx(1 / 3)
    assert found.followed == pytest.approx(1 / 3)


def test_only_the_background_differs():
    images = draw_counterfactuals("colour_blocks", 30)
    black = images.x.amax(dim=2) == 0.0  # [C, N, H, W]
    assert bool((black == black[:1]).all())
    assert not (images.background & black[0]).any()
    assert float((images.background | black[0]).float().mean()) > 0.9
    assert images.y.bincount().tolist() == [10, 10, 10]


def test_patterns_have_counterfactuals_too():
    images = draw_counterfactuals("patterns", 20)
    assert images.x.shape == (10, 20, 3, 32, 32)
    assert 0.3 < float(images.background.float().mean()) < 0.95
    assert len(images.class_names) == 10


def test_where_a_perturbation_lies():
    x = torch.full((3, 3, 4, 4), 0.5)
    background = torch.zeros(3, 4, 4, dtype=torch.bool)
    background[:, :2] = True
    delta = torch.zeros_like(x)
    delta[0, :, 0], delta[1, :, 3] = 0.1, 0.1
    delta[2, :, 0], delta[2, :, 3] = 0.1, -0.1
    share = background_share(x, x + delta, background)
    torch.testing.assert_close(share, torch.tensor([1.0, 0.0, 0.5]))


def test_a_picture_of_every_class_is_needed():
    with pytest.raises(InputError, match="num_images must be >= 3, got 2"):
        draw_counterfactuals("colour_blocks", 2)
