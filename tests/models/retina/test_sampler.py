"""Golden and statistical values: released code of arXiv:2106.09534, both versions."""

import math

import pytest
import torch
from torch import Tensor

from robust_core.models.retina.sampler import (
    Density,
    PixelStep,
    RetinotopicSampler,
    choose_centres,
    eccentricity,
    expected_view,
    fovea_radius,
    grid_centres,
    keep_probability,
    on_probability,
    sample_masks,
)
from tests.models.examples import generator, images, retinotopic

DENSITY = Density()
SIXTH = 1 / 6
W = 0.9


@pytest.mark.parametrize(
    ("side", "centre", "farthest", "radius", "least", "kept"),
    [
        (32, (16, 16), 22.6, 9.7, 0.801, 0.9535),
        (32, (5, 16), 30.5, 12.0, 0.757, 0.9471),
        (32, (5, 5), 36.8, 13.9, 0.730, 0.9427),
        (32, (27, 27), 38.2, 14.3, 0.724, 0.9390),
        (64, (32, 32), 45.3, 16.4, 0.699, 0.9236),
        (64, (53, 53), 75.0, 25.2, 0.626, 0.9218),
        (84, (42, 42), 59.4, 20.6, 0.659, 0.9137),
    ],
)
def test_mask_density_has_the_golden_values(side, centre, farthest, radius, least, kept):
    size = (side, side)
    keep = keep_probability(size, centre, DENSITY)
    assert float(eccentricity(size, centre).max()) == pytest.approx(farthest, abs=0.051)
    assert fovea_radius(size, centre, DENSITY) == pytest.approx(radius, abs=0.051)
    assert float(keep.min()) == pytest.approx(least, abs=6e-4)
    assert float(keep.mean()) == pytest.approx(kept, abs=6e-5)


def test_masks_keep_what_the_probability_says_and_all_of_the_fovea():
    size, centre = (32, 32), (5, 16)
    masks = sample_masks(size, centre, DENSITY, 4000, generator=generator())
    assert (masks.dtype, masks.shape) == (torch.bool, (4000, 1, 32, 32))
    keep = keep_probability(size, centre, DENSITY)
    share = masks.float().mean(dim=(0, 1))
    assert float((share - keep).abs().max()) < 4.5 * math.sqrt(0.25 / 4000)
    assert float(share.mean()) == pytest.approx(0.9471, abs=1e-3)
    fovea = eccentricity(size, centre) <= fovea_radius(size, centre, DENSITY) - 1e-3
    assert bool(masks[:, 0, fovea].all()) and 100 < int(fovea.sum()) < 1024


def test_rows_and_columns_are_not_mixed_up():
    distance = eccentricity((8, 20), (15, 2))
    assert distance.shape == (8, 20)
    assert float(distance[2, 15]) == 0.0
    assert float(distance[5, 19]) == 5.0


def test_views_are_nearly_binary_and_switch_on_as_the_probability_says():
    values = torch.tensor([-1.2, -0.9, -0.5, 0.0, 0.3, 0.9, 1.2])
    x = values.view(1, 1, 1, -1).expand(1, 1, 30_000, -1)
    samples = RetinotopicSampler(num_samples=1)(x, (0, 0), generator())
    expected = on_probability(values, W)
    share = samples.binary.mean(dim=(0, 1, 2, 3))
    assert torch.allclose(expected[[0, 1, 3, 5, 6]], torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
    assert float((share - expected).abs().max()) < 4.5 * math.sqrt(0.25 / 30_000)
    assert bool((samples.binary[..., 0] == 0).all()) and bool((samples.binary[..., 6] > 0.99).all())


def test_normal_pixels_have_the_golden_shares():
    """With x ~ N(0, 1), w = 0.9, n = 3."""
    x = torch.randn(20, 3, 32, 32, generator=generator())
    sampler, active = RetinotopicSampler(), torch.zeros_like(x, dtype=torch.bool)
    after_one, between = 0.0, []
    for number in range(9):
        binary = sampler(x, (16, 16), generator(number)).binary
        active |= (binary > 0).any(dim=0)
        after_one = after_one or float((~active).float().mean())
        between.append(float(((binary > 0.001) & (binary < 0.999)).float().mean()))
    assert sum(between) / len(between) == pytest.approx(0.0035, rel=0.15)
    assert float((x.abs() > W).float().mean()) == pytest.approx(0.37, abs=0.005)
    assert after_one == pytest.approx(0.34, abs=0.01)
    assert float((~active).float().mean()) == pytest.approx(0.20, abs=0.01)


def test_native_gradient_is_the_derivative_of_the_step():
    noisy = torch.tensor([-0.5, 1e-5, 1e-3, 0.1, 1.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(PixelStep()(noisy).sum(), noisy)
    tau = 1e-5
    expected = torch.where(noisy > 0, tau / (noisy + tau) ** 2, 0.0).detach()
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=0.0)


def test_the_mean_of_the_native_gradient_is_the_expected_one():
    """By quadrature over the noise: the mean is carried by events too rare to sample."""
    x = torch.tensor([-1.0, -0.5, 0.0, 0.8], dtype=torch.float64)
    near = torch.logspace(-12, math.log10(2 * W), 200_001, dtype=torch.float64)  # x + w u > 0
    slope = 1e-5 / (near + 1e-5) ** 2
    for value in x:
        inside = near <= value + W
        integral = torch.trapezoid(slope[inside], near[inside]) / (2 * W) if inside.any() else 0.0
        target = 1 / (2 * W) if abs(value) < W else 0.0
        assert float(integral) == pytest.approx(target, abs=1e-4)


def test_expected_gradient_has_the_same_outputs_and_the_exact_mean_slope():
    x = torch.linspace(-1.5, 1.5, 31).view(1, 1, 1, -1).requires_grad_(True)
    native, expected = (
        RetinotopicSampler(gradient=gradient)(x, (3, 0), generator()).binary
        for gradient in ("native", "expected")
    )
    assert torch.equal(native, expected)
    (slope,) = torch.autograd.grad(expected.mean(dim=0).sum(), x)
    inside = (x.detach().abs() < W).float()
    torch.testing.assert_close(slope, inside / (2 * W))


def test_the_sampler_stays_in_float32_under_autocast():
    """In half precision the slope is 10 at s = 1e-3 and 0 at 0.1: not what it should be."""
    half = torch.tensor([1e-3, 0.1], dtype=torch.float16, requires_grad=True)
    (slope,) = torch.autograd.grad(PixelStep()(half).sum(), half)
    assert float(slope[0]) == pytest.approx(10.0, rel=0.05) and float(slope[1]) == 0.0
    x = images().bfloat16().requires_grad_(True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        samples = RetinotopicSampler()(x, (8, 8), generator())
    assert samples.binary.dtype == samples.view.dtype == torch.float32
    same = RetinotopicSampler()(x.detach().float(), (8, 8), generator())
    assert torch.equal(samples.binary, same.binary)


def test_a_view_is_the_mean_of_its_masked_samples():
    x = images()
    samples = RetinotopicSampler()(x, (8, 8), generator())
    assert samples.binary.shape == (3, 4, 3, 16, 16)
    expected = sum(binary * mask for binary, mask in zip(*_parts(samples), strict=True)) / 3
    torch.testing.assert_close(samples.view, expected)
    assert float(samples.keep_ratio) == pytest.approx(samples.masks.float().mean().item())
    thirds = 3 * samples.view
    assert float(((thirds - thirds.round()).abs() < 0.01).float().mean()) > 0.98
    assert not torch.equal(samples.masks[0], samples.masks[1])


def _parts(samples) -> tuple[list[Tensor], list[Tensor]]:
    return list(samples.binary), list(samples.masks)


def test_the_expected_view_is_the_mean_of_many():
    x = images(1, (1, 8, 8)) - 0.5
    samples = RetinotopicSampler(num_samples=20_000)(x, (2, 5), generator())
    mean = expected_view(x, (2, 5), W, DENSITY)
    assert float((samples.view - mean).abs().max()) < 4.5 * math.sqrt(0.25 / 20_000)


def test_v1_has_on_and_off_channels_under_one_mask_without_their_mean():
    model = retinotopic(version="v1", num_views=3)
    x = images()
    samples = model.sampler(x, (8, 8), generator())
    assert samples.binary.shape == (3, 4, 6, 16, 16)
    assert samples.masks.shape == (3, 1, 16, 16)
    on, off = samples.binary.split(3, dim=2)
    assert not torch.equal(on, 1 - off)
    assert bool((on.mean(dim=(0, 1, 3, 4)) > 0.6).all())  # P(ON), P(OFF) in [1/2, 1]
    views = model.sample_views(x)
    assert views.images.shape == (3, 4, 6, 16, 16)
    assert float(views.images.mean(dim=(3, 4)).abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("side", "places"),
    [(32, (16, 5, 27)), (64, (32, 11, 53)), (84, (42, 14, 70)), (8, (4, 1, 7)), (28, (14, 5, 23))],
)
def test_grid_centres_are_the_released_ones(side, places):
    expected = [(places[k // 3], places[k % 3]) for k in range(9)]
    assert grid_centres((side, side), SIXTH) == expected
    assert choose_centres("fixed", (side, side), SIXTH, 4) == expected[:4]


def test_centres_of_other_images_and_of_the_toy():
    assert sorted(set(grid_centres((64, 64), 5 / 16))) == [
        (a, b) for a in (20, 32, 44) for b in (20, 32, 44)
    ]
    wide = grid_centres((12, 30), SIXTH)
    assert wide[:4] == [(15, 6), (15, 2), (15, 10), (5, 6)]


def test_drawn_centres_are_uniform():
    grid = choose_centres("grid", (32, 32), SIXTH, 9000, generator())
    counts = [grid.count(centre) for centre in grid_centres((32, 32), SIXTH)]
    assert sum(counts) == 9000 and max(abs(count - 1000) for count in counts) < 150
    anywhere = choose_centres("random", (64, 32), SIXTH, 4000, generator())
    columns, rows = (set(places) for places in zip(*anywhere, strict=True))
    assert columns == set(range(5, 28)) and rows == set(range(11, 54))


def test_the_colour_toys_pale_channels_are_the_same_to_the_sampler():
    """At w = 0.8 both 0.8 and 1 are always on: it is the step that erases the confounder."""
    assert on_probability(torch.tensor([0.8, 1.0, 0.0]), 0.8).tolist() == [1.0, 1.0, 0.5]
