"""The confusion of two models against each other, on matrices that can be read by eye."""

import math

import pytest
import torch

from robust_core.analysis.confusion_change import PairChange, pair_changes, paired_outcome
from robust_core.errors import InputError


def test_pairs_are_ranked_by_how_much_they_change():
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.0, 0.25, 0.75]])
    other = torch.tensor([[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
    found = pair_changes(shares, other)
    assert found == [PairChange(0, 1, 0.375, 0.125), PairChange(1, 2, 0.125, 0.25)]
    assert [pair.change for pair in found] == [-0.25, 0.125]
    assert pair_changes(shares, other, limit=1) == found[:1]
    assert pair_changes(shares, shares) == []


def test_the_change_of_two_models_turns_with_their_order():
    generator = torch.Generator().manual_seed(0)
    one, two = torch.rand(2, 5, 5, generator=generator)
    there = {(p.first, p.second): p.change for p in pair_changes(one, two)}
    back = {(p.first, p.second): p.change for p in pair_changes(two, one)}
    assert there == {pair: -change for pair, change in back.items()} and len(there) == 10


def test_a_class_without_an_image_changes_nothing():
    shares = torch.tensor([[0.5, 0.5], [math.nan, math.nan]])
    assert pair_changes(shares, torch.eye(2)) == [PairChange(0, 1, 0.25, 0.0)]


def test_only_images_on_which_the_models_differ_count():
    one = torch.tensor([True] * 6 + [False] * 4)
    two = torch.tensor([True, False, False, False, False, False, True, False, False, False])
    found = paired_outcome(one, two)
    assert (found.only_first, found.only_second) == (5, 1)
    assert found.p_value == pytest.approx(2 * (1 + 6) / 2**6)  # P(at most 1 of 6), both sides
    assert paired_outcome(two, one).p_value == pytest.approx(found.p_value)
    assert paired_outcome(one, one).p_value == 1.0


def test_models_that_do_not_fit_get_one_sentence():
    with pytest.raises(InputError, match="the same classes, got 2 and 3"):
        pair_changes(torch.eye(2), torch.eye(3))
    with pytest.raises(InputError, match="the same images, got 2 and 3"):
        paired_outcome(torch.ones(2).bool(), torch.ones(3).bool())
