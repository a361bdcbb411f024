"""What a new model costs to try, and so how many images it is tried on.

It follows from operations, not from seconds, so it is the same on every machine.
"""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from robust_core.models.base import Classifier

FEWEST_IMAGES, MOST_IMAGES = 100, 1000  # labelled images of the measurements
AFFORDABLE = 2e12  # floating-point operations of one of them, about half a minute on one core


def operations(model: Classifier) -> int:
    """Return the floating-point operations of one image through a model, also on "meta"."""
    device = next((one.device for one in model.parameters()), torch.device("cpu"))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.full((1, *model.image_shape), 0.5, device=device))
    return max(int(counter.get_total_flops()), 1)


def num_images_to_measure(model: Classifier) -> int:
    """Return how many labelled images a measurement on arrival takes: 100 to 1000."""
    return images_for(operations(model))


def images_for(operations: int) -> int:
    """Return that number for a model of so many operations an image."""
    return int(min(max(AFFORDABLE / operations, FEWEST_IMAGES), MOST_IMAGES))


def operations_per_second() -> float:
    """Return how many floating-point operations this machine does in a second, by a short trial."""
    layer = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False)
    x = torch.zeros(8, 64, 32, 32)
    times = []
    with torch.no_grad():
        for _ in range(4):  # the first one also warms up
            started = time.perf_counter()
            layer(x)
            times.append(time.perf_counter() - started)
    return 2 * layer.weight.numel() * x[:, 0].numel() / min(times)
