"""Stratified, seeded division and choice of the images of a data set."""

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


def stratified_order(y: NDArray[np.int64], num_images: int, seed: int) -> NDArray[np.int64]:
    """Return the first `num_images` positions of a seeded order, stratified at every length.

    The beginnings are nested: 100 images are the first 100 of 500 under the same seed. The first K
    are one image of each of the K classes present. From then on a class whose count n_k has reached
    its share stays within one image of it, |n_k - n p_k| < 1 among n images with p_k = N_k / N.

    The next class is the one whose next image is due first among those that lack at least
    1 / (2K - 2) of an image: R. Tijdeman, "The chairman assignment problem", Discrete Mathematics
    32 (1980), pp. 323-330; that every class comes once before any comes twice is our own addition.

    Args:
        y: labels [N] of any integers, in any order.
        num_images: from 0 to N.
        seed: of the images within a class and of the order of equal classes, at least 0.

    Raises:
        InputError: the seed is negative.
    """
    if seed < 0:
        raise InputError(f"seed must be >= 0, got {seed}")
    generator = np.random.default_rng(seed)
    labels, total = np.unique(y, return_counts=True)
    shuffled = generator.permutation(len(labels))
    labels, total = labels[shuffled], total[shuffled]
    members = [generator.permutation(np.flatnonzero(y == label)) for label in labels]
    least = 1 / max(2 * len(labels) - 2, 2)
    count = np.zeros(len(labels), dtype=np.int64)
    order = np.empty(num_images, dtype=np.int64)
    for n in range(num_images):
        lacking = ((n + 1) * total - count * len(y)) / len(y)  # [K], sums to 1
        ready = count == 0 if n < len(labels) else lacking >= least
        chosen = int(np.where(ready, (1 - least - lacking) / total, np.inf).argmin())
        order[n] = members[chosen][count[chosen]]
        count[chosen] += 1
    return order
