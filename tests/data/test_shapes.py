import logging

import numpy as np
import pytest
import torch

from robust_core.data import data_source, load_data
from robust_core.data.backgrounds import BACKGROUNDS
from robust_core.data.colour_blocks import TOY_CLASSES, dominant_channel, draw_colour_blocks
from robust_core.data.outlines import CLASS_NAMES, LOOK_ALIKE_PAIRS, signed_distance
from robust_core.data.shapes import draw_shapes
from robust_core.errors import InputError

SMALL = {"num_train": 400, "num_test": 200}


@pytest.mark.slow
def test_sizes_and_balance(tmp_path):
    train = load_data("shapes", "train", {"num_test": 50}, root=tmp_path)
    assert train.image_shape == (3, 32, 32)
    assert train.y.bincount().tolist() == [900] * 10
    validation = load_data("shapes", "validation", {"num_test": 50}, root=tmp_path)
    assert validation.y.bincount().tolist() == [100] * 10
    assert data_source("shapes").Parameters().model_dump()["num_test"] == 2000


def test_ten_classes_in_pairs_and_a_background_for_each():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == len(BACKGROUNDS) == 10
    assert [name for pair in LOOK_ALIKE_PAIRS for name in pair] == list(CLASS_NAMES)


@pytest.mark.parametrize("confounding", [0.0, 0.5, 1.0])
@pytest.mark.slow
def test_how_often_the_pattern_is_tied(confounding):
    _, y, pattern = draw_shapes(4000, confounding, 0)
    expected = confounding + (1 - confounding) / len(BACKGROUNDS)
    deviation = np.sqrt(expected * (1 - expected) / 4000)
    assert abs((pattern == y).mean() - expected) <= 4 * deviation
    if confounding < 1:
        others = np.bincount(pattern[pattern != y], minlength=10) / (pattern != y).sum()
        assert np.abs(others - 0.1).max() < 0.03


def test_only_the_training_and_the_confounded_split_have_the_tie(tmp_path):
    choices = {**SMALL, "confounding": 1.0}
    free = {split: load_data("shapes", split, SMALL, root=tmp_path) for split in SPLITS}
    tied = {split: load_data("shapes", split, choices, root=tmp_path) for split in SPLITS}
    assert torch.equal(free["test"].x, tied["test"].x)
    for split in ("train", "validation", "test_confounded"):
        assert torch.equal(free[split].y, tied[split].y)
        assert not torch.equal(free[split].x, tied[split].x)
    # class 0 is tied to the plain pattern: corners of its pictures have one colour
    for split in ("train", "validation", "test_confounded"):
        assert corner_spread(tied[split]) < 0.1
        assert corner_spread(free[split]) > 0.2
    assert corner_spread(tied["test"]) > 0.2


SPLITS = ("train", "validation", "test", "test_confounded")


def corner_spread(images) -> float:
    """The largest difference between two corners in any picture of a circle, largest of all."""
    corners = images.x[images.y == 0][:, :, ::31, ::31].flatten(2)
    return float((corners.amax(2) - corners.amin(2)).max())


def test_the_confounded_test_shows_the_same_shapes(tmp_path):
    choices = {**SMALL, "confounding": 1.0}
    test = load_data("shapes", "test", choices, root=tmp_path)
    confounded = load_data("shapes", "test_confounded", choices, root=tmp_path)
    assert torch.equal(test.y, confounded.y)
    same = (test.x == confounded.x).all(dim=1).float().mean(dim=(1, 2))
    assert same.min() > 0.1  # the face of the shape, whatever lies behind it
    assert same.median() < 0.6


def test_the_seed_decides():
    first, again, other = (draw_shapes(50, 0.3, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_drawing_in_chunks_changes_nothing(monkeypatch):
    whole = draw_shapes(60, 0.5, 0)[0]
    monkeypatch.setattr("robust_core.data.shapes.CHUNK", 7)
    assert np.array_equal(draw_shapes(60, 0.5, 0)[0], whole)


def test_every_shape_stands_out_from_its_corner():
    x = draw_shapes(500, 0.0, 0)[0].astype(int)
    difference = np.abs(x - x[:, :, :1, :1]).max(axis=1)
    assert (difference > 60).mean(axis=(1, 2)).min() > 0.05


@pytest.mark.parametrize("label", range(10))
def test_distances_have_slope_one_and_the_right_sign(label):
    axis = np.linspace(-20, 20, 401)
    column, row = (part[None] for part in np.meshgrid(axis, axis))
    ones = np.ones(1)
    distance = signed_distance(np.array([label]), column, row, 10 * ones, 0.3 * ones, 0.5 * ones)[0]
    assert distance[0, 0] > 5
    assert distance.min() < -2
    slope = np.hypot(*np.gradient(distance, 0.1))
    near = (np.abs(distance) < 1) & (np.abs(distance) > 0.1)
    assert 0.85 < np.median(slope[near]) < 1.1
    inside = (distance < 0).sum() * 0.01
    assert 70 < inside < 320  # square pixels, of the 314 of the full circle


def test_a_regular_outline_is_the_same_after_its_own_turn():
    axis = np.linspace(-15, 15, 61)
    column, row = (part[None] for part in np.meshgrid(axis, axis))
    ones = np.ones(1)
    for label, turn in ((0, 1.0), (2, np.pi / 2), (4, 2 * np.pi / 3), (6, 2 * np.pi / 5)):
        args = (np.array([label]), column, row, 9 * ones)
        before = signed_distance(*args, 0.2 * ones, 0 * ones)
        after = signed_distance(*args, (0.2 + turn) * ones, 0 * ones)
        assert np.allclose(before, after, atol=1e-4)


def test_the_second_load_comes_from_the_cache(tmp_path, monkeypatch):
    first = load_data("shapes", "test", SMALL, root=tmp_path)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    monkeypatch.setattr("robust_core.data.shapes.draw_shapes", None)
    assert torch.equal(load_data("shapes", "test", SMALL, root=tmp_path).x, first.x)


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path, caplog):
    (tmp_path / "cache").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert len(load_data("shapes", "test", SMALL, root=tmp_path)) == 200
    assert "going on without" in caplog.text


@pytest.mark.slow
def test_colour_blocks_are_a_scene_of_their_own(tmp_path):
    choices = {**SMALL, "scene": "colour_blocks", "confounding": 1.0}
    tied = {split: load_data("shapes", split, choices, root=tmp_path) for split in SPLITS}
    test, confounded = tied["test"], tied["test_confounded"]
    assert test.image_shape == (3, 64, 64)
    assert test.class_names == TOY_CLASSES
    assert torch.equal(test.y, confounded.y)
    for split in SPLITS:
        winner = tied[split].x.mean(dim=(2, 3)).argmax(dim=1)
        share = (winner == tied[split].y).float().mean()
        assert share == 1.0 if split != "test" else 0.2 < share < 0.47
    assert torch.equal(black(test.x), black(confounded.x))
    assert load_data("shapes", "test", SMALL, root=tmp_path).image_shape == (3, 32, 32)


def black(x: torch.Tensor) -> torch.Tensor:
    return x.amax(dim=1) < 0.01


def test_the_own_colour_wins_eleven_blocks_in_twelve():
    """7/8 where its draw is beyond the range of the others, and a third of the rest."""
    draws = np.random.default_rng(0).uniform(0, 1, (300, 3, 16, 16))
    colour = np.arange(300) % 3
    won = (dominant_channel(draws, colour) == colour[:, None, None]).mean()
    assert won == pytest.approx(11 / 12, abs=0.005)


def test_colour_blocks_are_pale_and_four_pixels_wide():
    x, _, colour = draw_colour_blocks(30, 1.0, 0)
    top = x[:, :, 0]  # the first row of pixels, seldom touched by a shape
    pale = top[(top.max(axis=1) == 255).all(axis=1)]
    assert len(pale) == 30
    assert set(np.unique(pale)) == {204, 255}
    assert (pale == 255).sum() == 30 * 64  # one channel wins everywhere
    blocks = pale.reshape(30, 3, 16, 4)
    assert (blocks == blocks[..., :1]).all()
    assert set(colour) == {0, 1, 2}


def test_toy_shapes_have_their_size_and_stand_upright():
    x, y, _ = draw_colour_blocks(90, 0.0, 3)
    dark = (x.max(axis=1) < 100).sum(axis=(1, 2))
    rows = (x.max(axis=1) < 100).sum(axis=2)  # [N, H], the width in each row
    for label, fill in ((0, np.pi / 4), (1, 1.0), (2, 0.5)):
        of_class = y == label
        box = rows[of_class].max(axis=1) * (rows[of_class] > 0).sum(axis=1)
        assert np.allclose(dark[of_class] / box, fill, atol=0.06)
    heights = (rows > 0).sum(axis=1)
    assert heights.min() >= 18 and heights.max() <= 51
    assert not (x[:, :, [0, -1]] < 100).any()


def test_one_colour_for_all_changes_nothing_else():
    free, y, _ = draw_colour_blocks(12, 0.0, 0)
    blue, same, colour = draw_colour_blocks(12, 0.0, 0, confounder=2)
    assert np.array_equal(y, same) and set(colour) == {2}
    assert np.array_equal(free.max(axis=1) == 0, blue.max(axis=1) == 0)
    _, y, pattern = draw_shapes(12, 0.0, 0, confounder=5)
    assert set(pattern) == {5} and np.array_equal(y, draw_shapes(12, 0.0, 0)[1])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"scene": "squares"}, "scene must be one of 'patterns' or 'colour_blocks'"),
        ({"confounding": 1.5}, "confounding must be <= 1.0, got 1.5"),
        ({"num_train": 10}, "num_train must be >= 100, got 10"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
    ],
)
def test_choices_out_of_range_are_refused(choices, message):
    with pytest.raises(InputError, match=message):
        load_data("shapes", "test", choices)
