import numpy as np
import pytest

from robust_core.data.splits import stratified_order, stratified_split
from robust_core.errors import InputError


@pytest.mark.parametrize("counts", [(100, 50, 30), (7, 7, 7), (3, 2, 900), (2, 2, 2)])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_every_class_has_its_share(counts, fraction):
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(3), counts))
    large, small = stratified_split(y, fraction, 0, "abc")
    assert sorted([*large, *small]) == list(range(len(y)))
    assert np.array_equal(large, np.sort(large)) and np.array_equal(small, np.sort(small))
    for label, count in enumerate(counts):
        num_small = int((y[small] == label).sum())
        assert 1 <= num_small < count
        assert abs(num_small - fraction * count) <= 1


def test_the_small_part_has_exactly_the_rounded_size():
    y = np.repeat(np.arange(10), 73)
    for fraction in (0.1, 0.2, 0.37):
        assert len(stratified_split(y, fraction, 0, "0123456789")[1]) == round(fraction * len(y))


def test_the_seed_decides():
    y = np.repeat(np.arange(2), 50)
    parts = [stratified_split(y, 0.2, seed, "ab")[1].tolist() for seed in (5, 5, 6)]
    assert parts[0] == parts[1] != parts[2]


def test_a_class_of_one_image_is_refused():
    with pytest.raises(InputError, match="at least 2 images to be split, class 'b' has 1"):
        stratified_split(np.array([0, 0, 1]), 0.5, 0, "ab")


def counts_of(y, order, num_classes):
    return np.bincount(y[order], minlength=num_classes)


@pytest.mark.parametrize("counts", [(100, 100, 100), (90, 60, 30), (7, 7, 7, 7), (150, 1, 49)])
def test_a_sample_of_sorted_images_has_every_class_within_one_image_of_its_share(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    order = stratified_order(y, len(y), 3)
    assert sorted(order) == list(range(len(y)))
    due = min(counts) / len(y)  # from here on every class is owed an image
    for n in range(1, len(y) + 1):
        found = counts_of(y, order[:n], len(counts))
        assert (found > 0).sum() == min(n, len(counts))
        if n * due >= 1:
            assert np.abs(found - n * np.array(counts) / len(y)).max() < 1


def test_equal_classes_and_round_shares_come_out_exactly():
    y = np.repeat(np.arange(10), 50)
    for n in (10, 50, 100, 490):
        assert counts_of(y, stratified_order(y, n, 0), 10).tolist() == [n // 10] * 10
    y = np.repeat(np.arange(3), (60, 30, 10))
    assert counts_of(y, stratified_order(y, 20, 0), 3).tolist() == [12, 6, 2]


def test_a_rare_class_is_never_left_out_and_the_rest_catches_up():
    y = np.repeat(np.arange(4), (997, 1, 1, 1))
    assert counts_of(y, stratified_order(y, 4, 0), 4).tolist() == [1, 1, 1, 1]
    assert counts_of(y, stratified_order(y, 100, 0), 4).tolist() == [97, 1, 1, 1]


def test_a_smaller_sample_is_the_beginning_of_a_larger_one_and_the_seed_decides():
    y = np.sort(np.random.default_rng(1).integers(0, 5, 400))
    whole = stratified_order(y, 400, 7)
    for n in (0, 1, 3, 50, 399):
        assert np.array_equal(stratified_order(y, n, 7), whole[:n])
    assert not np.array_equal(stratified_order(y, 400, 8), whole)


def test_a_sample_takes_the_classes_that_are_there():
    y = np.array([7, 7, 7, 2, 2, 2])
    assert sorted(y[stratified_order(y, 4, 0)]) == [2, 2, 7, 7]
    assert sorted(stratified_order(np.full(3, 5), 3, 0)) == [0, 1, 2]
    with pytest.raises(InputError, match="seed must be >= 0, got -1"):
        stratified_order(y, 2, -1)
