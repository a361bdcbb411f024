"""On a linear model the margin of two classes is a plane whose slopes are known."""

import pytest
import torch

from robust_core.analysis.loss_surface import loss_surface
from robust_core.errors import InputError
from robust_core.threat_model import Norm, ThreatModel
from tests.toys import LinearModel, SmallNet, middle_images

SHAPE = (1, 4, 4)
LINF, L2 = ThreatModel(Norm.LINF, 0.1), ThreatModel(Norm.L2, 0.2)


@pytest.fixture
def linear():
    model = LinearModel(SHAPE, num_classes=2)
    x, y = middle_images(1, SHAPE), torch.tensor([0])
    slope = (model.weight[1] - model.weight[0]).detach().view(1, *SHAPE)  # of the margin
    return model, x, y, slope


@pytest.mark.parametrize("ball", [LINF, L2], ids=["Linf", "L2"])
def test_the_margin_of_a_linear_model_is_a_plane(linear, ball):
    model, x, y, slope = linear
    surface = loss_surface(model, x, y, 7.0 * ball.ascent_direction(slope), ball, size=9)
    logits = model(x).detach()[0]
    at_x = float(logits[1] - logits[0])
    steepest = slope.abs().sum() if ball is LINF else slope.norm()
    rise = float(ball.epsilon * steepest)
    middle = surface.margin[4]
    torch.testing.assert_close(middle, at_x + rise * surface.steps, rtol=1e-4, atol=1e-5)
    slopes = surface.margin.diff(dim=0)
    torch.testing.assert_close(slopes, slopes[:1, :1].expand_as(slopes), rtol=1e-3, atol=1e-5)
    if ball is L2:  # the second axis is orthogonal to the gradient
        assert float(slopes.abs().max()) < 1e-5


def test_losses_and_predictions_agree(linear):
    model, x, y, slope = linear
    surface = loss_surface(model, x, y, slope, ThreatModel(Norm.L2, 2.0), size=21)
    assert torch.equal(surface.prediction != 0, surface.margin > 0)
    expected = torch.nn.functional.softplus(surface.margin)  # two classes
    torch.testing.assert_close(surface.cross_entropy, expected, rtol=1e-4, atol=1e-5)
    assert len(surface.prediction.unique()) == 2


@pytest.mark.parametrize("ball", [LINF, L2], ids=["Linf", "L2"])
def test_both_axes_end_on_the_sphere_and_the_end_of_the_first_is_the_adversarial_image(ball):
    seen = []

    class Spy(LinearModel):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    x = middle_images(1, SHAPE)
    x_adv = ball.random_start(x, torch.Generator().manual_seed(5))
    loss_surface(Spy(SHAPE), x, torch.tensor([0]), x_adv - x, ball, size=5)
    grid = seen[-1].view(5, 5, *SHAPE)
    ends = torch.stack([grid[2, 0], grid[2, 4], grid[0, 2], grid[4, 2]])
    radius = torch.full((4,), ball.epsilon)
    torch.testing.assert_close(ball.distance(ends, x.expand_as(ends)), radius)
    torch.testing.assert_close(grid[2, 2], x[0])
    fraction = float(ball.distance(x_adv, x)) / ball.epsilon
    torch.testing.assert_close(x + (grid[2, 4] - x) * fraction, x_adv)
    first, second = grid[2, 4] - x, grid[4, 2] - x
    assert abs(float((first * second).sum())) < 1e-6


def test_a_seed_gives_one_surface_and_a_missing_direction_is_drawn():
    x, y = middle_images(1, (1, 8, 8)), torch.tensor([1])
    model = SmallNet().train()
    first, again, other = (
        loss_surface(model, x, y, None, LINF, size=5, seed=seed).margin for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert model.training


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 20}, "size must be odd"),
        ({"size": 1}, "from 3 to 101, got 1"),
        ({"direction": torch.zeros(1, *SHAPE)}, "not zero"),
        ({"direction": torch.ones(1, 1, 2, 2)}, r"got \[1, 1, 2, 2\]"),
        ({"x": middle_images(2, SHAPE), "y": torch.tensor([0, 1])}, "exactly one image, got 2"),
    ],
)
def test_unfit_input_is_refused(linear, change, sentence):
    model, x, y, slope = linear
    arguments = {"x": x, "y": y, "direction": slope, "threat_model": LINF, "size": 5} | change
    with pytest.raises(InputError, match=sentence):
        loss_surface(model, **arguments)


def test_outputs_that_are_no_numbers_make_no_surface(linear):
    model, x, y, slope = linear
    model.bias.data[0] = float("inf")
    with pytest.raises(InputError, match="outputs around the image are not finite"):
        loss_surface(model, x, y, slope, LINF, size=5)
