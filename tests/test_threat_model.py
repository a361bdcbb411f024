import pytest
import torch

from robust_core.threat_model import Norm, ThreatModel
from tests.toys import middle_images

BOTH = [ThreatModel(Norm.LINF, 0.1), ThreatModel(Norm.L2, 0.5)]


@pytest.mark.parametrize("ball", BOTH, ids=str)
def test_projection_lands_in_ball_and_box_and_keeps_what_is_inside(ball):
    x = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    far = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    near = ball.project(far, x)
    assert ball.distance(near, x).max() <= ball.epsilon + 1e-6
    assert near.min() >= 0
    assert near.max() <= 1
    torch.testing.assert_close(ball.project(near, x), near)


def test_linf_projection_is_the_nearest_point():
    ball = ThreatModel(Norm.LINF, 0.25)
    x = torch.full((1, 1, 1, 3), 0.5)
    x_adv = torch.tensor([[[[0.1, 0.6, 0.9]]]])
    torch.testing.assert_close(ball.project(x_adv, x), torch.tensor([[[[0.25, 0.6, 0.75]]]]))


def test_l2_projection_is_radial_away_from_the_walls():
    ball = ThreatModel(Norm.L2, 0.1)
    x = torch.full((1, 1, 1, 2), 0.5)
    x_adv = x + torch.tensor([0.3, 0.4])
    torch.testing.assert_close(ball.project(x_adv, x) - x, torch.tensor([[[[0.06, 0.08]]]]))


@pytest.mark.parametrize("ball", BOTH, ids=str)
def test_random_start_fills_the_ball_and_follows_its_generator(ball):
    x = middle_images(2000, (1, 2, 2))
    start = ball.random_start(x, torch.Generator().manual_seed(3))
    again = ball.random_start(x, torch.Generator().manual_seed(3))
    assert torch.equal(start, again)
    distance = ball.distance(start, x)
    assert distance.max() <= ball.epsilon + 1e-6
    # Uniform in a ball of dimension d = 4: P(distance <= r epsilon) = r^4 in either norm.
    inner = (distance <= 0.8 * ball.epsilon).float().mean()
    assert abs(inner - 0.8**4) < 0.04


def test_ascent_direction_is_the_steepest_unit_step():
    gradient = torch.tensor([[[[3.0, -4.0]]], [[[0.0, 0.0]]]])
    linf = ThreatModel(Norm.LINF, 0.1).ascent_direction(gradient)
    l2 = ThreatModel(Norm.L2, 0.1).ascent_direction(gradient)
    torch.testing.assert_close(linf[0], torch.tensor([[[1.0, -1.0]]]))
    torch.testing.assert_close(l2[0], torch.tensor([[[0.6, -0.8]]]))
    assert not l2[1].any()


def test_entries_that_are_not_finite_are_no_direction():
    gradient = torch.tensor([[[[float("nan"), 2.0, float("inf")]]]])
    for norm in Norm:
        step = ThreatModel(norm, 0.1).ascent_direction(gradient)
        torch.testing.assert_close(step, torch.tensor([[[[0.0, 1.0, 0.0]]]]))


def test_tiny_gradients_keep_their_direction_in_l2():
    gradient = torch.tensor([[[[3e-20, -4e-20]]]])
    step = ThreatModel(Norm.L2, 0.1).ascent_direction(gradient)
    torch.testing.assert_close(step, torch.tensor([[[[0.6, -0.8]]]]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("norm", "epsilon", "expected"),
    [(Norm.LINF, 0.6, [0.0, 0.3, 1.0]), (Norm.L2, 60.0, [0.0, 30.0, 100.0])],
)
def test_multiples_stop_at_the_largest_radius_of_the_norm(norm, epsilon, expected):
    assert ThreatModel(norm, epsilon).multiples((0.0, 0.5, 2.0)) == expected
