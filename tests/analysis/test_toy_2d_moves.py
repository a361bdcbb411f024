"""Networks in the plane and what moves points there: lengths and ends in closed form."""

import pytest
import torch

from robust_core.analysis.toy_2d import (
    FEW_CENTRES,
    correct_under_attack,
    draw_moons,
    draw_points,
    train_toy,
)
from robust_core.analysis.toy_2d_moves import (
    GRADIENT_LENGTH,
    MOVES,
    RADII,
    ToyRecipe,
    TrainedToy,
    moves,
    num_correct,
    points_of,
    train_recipe,
)
from robust_core.errors import InputError

RECIPE = ToyRecipe("line", "standard", 40, 8, 10.0, 1)


@pytest.fixture(scope="module")
def network() -> TrainedToy:
    return train_recipe(RECIPE)


@pytest.mark.slow
def test_moves_stay_within_the_radius_and_targets_reach_the_other_class(network):
    for epsilon in (0.0, 6.0):
        found = moves(network, epsilon)
        assert set(found) == set(MOVES)
        for name in ("pgd", "feature_scattering", "lmae"):
            length = torch.linalg.norm(found[name].end - found[name].start, dim=1)
            assert length.max() <= epsilon + 1e-3
        assert (
            torch.linalg.norm(found["pgd"].end - found["pgd"].start, dim=1).max() >= epsilon - 1e-3
        )
    pool = network.train.points
    distance = torch.linalg.norm(found["target"].end[:, None] - pool[None], dim=2)
    assert distance.amin(dim=1).max() < 1e-2
    nearest = network.train.y[distance.argmin(dim=1)]
    places = torch.linspace(0, len(network.test.y) - 1, len(nearest)).round().long()
    assert (nearest == 1 - network.test.y[places]).all()


def test_gradients_have_one_length_and_raise_the_loss(network):
    found = moves(network, 6.0)["gradient"]
    length = torch.linalg.norm(found.end - found.start, dim=1)
    assert torch.allclose(length, torch.tensor(GRADIENT_LENGTH), rtol=1e-4)


def test_what_is_known_of_a_network_is_measured_on_its_test_points(network):
    assert torch.equal(network.test.points, points_of(RECIPE, RECIPE.seed + 1).points)
    assert list(network.correct) == correct_under_attack(network.network, network.test, RADII)
    assert [num_correct(network, radius) for radius in RADII[:2]] == list(network.correct[:2])
    assert not network.network.training
    assert not any(parameter.requires_grad for parameter in network.network.parameters())


def test_training_follows_its_seed_and_leaves_the_generator_alone(network):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    again = train_recipe(RECIPE)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(again.map.probability, network.map.probability)


@pytest.mark.slow
def test_epochs_are_told_and_can_end_training():
    seen = []
    train_recipe(ToyRecipe("moons", "standard", 40, 2, 10.0, 0), on_epoch=seen.append)
    assert seen == [0, 1]

    def stop(epoch: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train_recipe(RECIPE, on_epoch=stop)


@pytest.mark.slow
def test_the_boundary_is_shown_while_it_moves_and_looking_changes_nothing(network):
    frames = []
    watched = train_recipe(RECIPE, on_frame=lambda epoch, shown: frames.append((epoch, shown)))
    assert [epoch for epoch, _ in frames] == list(range(1, RECIPE.epochs + 1))
    assert not torch.equal(frames[0][1].probability, frames[-1][1].probability)
    assert torch.equal(watched.map.probability, network.map.probability)


def test_unknown_data_is_refused():
    with pytest.raises(InputError, match="unknown data in the plane 'spiral'"):
        train_recipe(ToyRecipe("spiral", "standard", 40, 1, 10.0, 0))


@pytest.mark.parametrize("method", ["standard", "pgd_at", "pag", "feature_scattering", "atld"])
def test_every_method_trains_in_the_plane(method):
    seen = []
    network = train_toy(
        method, draw_points(6, 0, FEW_CENTRES), epochs=2, epsilon=10.0, on_epoch=seen.append
    )
    assert seen == [0, 1]
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_moons_are_two_half_circles_around_the_origin():
    data = draw_moons(4000, seed=0)
    assert data.y.tolist() == [0] * 4000 + [1] * 4000
    assert data.points.mean(dim=0).abs().max() < 3
    upper = data.points[:4000] - torch.tensor([-30.0, -15.0])
    assert upper.norm(dim=1).mean().item() == pytest.approx(60, abs=0.6)
    assert upper.norm(dim=1).std().item() == pytest.approx(0.08 * 60, rel=0.1)
