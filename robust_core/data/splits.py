"""Stratified, seeded division of a data set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robust_core.errors import InputError


def stratified_split(
    y: NDArray[np.int64], fraction: float, seed: int, class_names: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide N images into a larger and a smaller part in which every class has its share.

    The smaller part has round(fraction * N) images, shared among the classes by the method of the
    largest remainder and at least one a class.

    Args:
        y: labels [N] in [0, K), every class present.
        fraction: of the smaller part, in (0, 0.5].
        seed: of the choice, at least 0.
        class_names: K names, for the error message.

    Returns:
        Positions of the larger and of the smaller part, both in ascending order.

    Raises:
        InputError: the seed is negative, or a class has fewer than two images.
    """
    if seed < 0:
        raise InputError(f"seed must be >= 0, got {seed}")
    count = np.bincount(y, minlength=len(class_names))
    if count.min() < 2:
        poor = int(count.argmin())
        raise InputError(
            f"every class needs at least 2 images to be split, "
            f"class {class_names[poor]!r} has {count[poor]}"
        )
    share = fraction * count
    quota = np.floor(share).astype(np.int64)
    missing = max(round(fraction * len(y)) - int(quota.sum()), 0)
    quota[np.argsort(quota - share, kind="stable")[:missing]] += 1
    quota = np.clip(quota, 1, count - 1)
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(y), dtype=bool)
    for label, num_chosen in enumerate(quota):
        members = np.flatnonzero(y == label)
        chosen[generator.permutation(members)[:num_chosen]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
