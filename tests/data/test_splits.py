import numpy as np
import pytest

from robust_core.data.splits import stratified_split
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
