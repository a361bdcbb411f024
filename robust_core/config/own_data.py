"""A quick recipe that fits a person's own data, whatever its size."""

import math
from collections.abc import Mapping
from typing import Any

from robust_core.data import DATA, data_source
from robust_core.data.base import Extent
from robust_core.paths import data_folder

LEAST_STEPS = 1000  # with far fewer nothing is learnt, however small the network
SMALL_SET = 5000  # images; below, batch norm and SGD learn less in that time
SMALL_RECIPE: dict[str, Any] = {
    "model": {"name": "small_cnn"},
    "optimiser": {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.0},
    "schedule": {"name": "cyclic", "peak": 0.3},
    "epochs": 1,
    "batch_size": 32,
}
WARMUP_SHARE = 1 / 5  # of the run, until epsilon is full
GROWTH_SHARE = 1 / 4  # from one growth of a weight to the next, of four weights


def own_extent(data: str) -> Extent | None:
    """Return how large a person's own data set is; None for a registered one."""
    return None if data in DATA.names() else data_source(data).extent(data_folder())


def fitted(
    extent: Extent, recipe: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a quick recipe and a method's parameters for a data set of this extent.

    At least 1,000 steps (a step for each replay); below 5,000 images a small network and Adam. What
    a method counts in epochs, such as its warm-up, is a share of the run.

    Args:
        extent: images that are trained on, and classes.
        recipe: for larger sets, with the fewest epochs that make sense.
        parameters: of the method, as they are for a quick run.
    """
    recipe = dict(SMALL_RECIPE if extent.num_images < SMALL_SET else recipe)
    steps = max(extent.num_images // recipe["batch_size"], 1) * parameters.get("num_replays", 1)
    epochs = max(recipe["epochs"], math.ceil(LEAST_STEPS / steps))
    changes: dict[str, Any] = {
        "warmup_epochs": max(1, math.floor(WARMUP_SHARE * epochs)),
        "growth_interval": max(1, math.floor(GROWTH_SHARE * epochs)),
        "num_sampled_classes": min(parameters.get("num_sampled_classes", 0), extent.num_classes),
    }
    fitting = {name: value for name, value in changes.items() if name in parameters}
    return recipe | {"epochs": epochs}, {**parameters, **fitting}
