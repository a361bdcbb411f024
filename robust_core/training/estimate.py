"""How long a training will take, by two steps of it on this machine."""

import time
from collections.abc import Callable

import torch

from robust_core.config.run import RunConfig
from robust_core.gradients import input_gradient
from robust_core.losses import cross_entropy
from robust_core.training.state import create_state
from robust_core.training.step import TrainingStep

FEWEST, MEASURED = 2, 16  # images of the first step, and of the measured one
SLOW = 0.5  # seconds of a first step after which the measured one has no more images
DEVICE = torch.device("cpu")


def estimate_seconds(
    config: RunConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_images: int,
    num_validation: int,
) -> float:
    """Return the seconds that the epochs of a run take on this machine's CPU, roughly.

    A step at full epsilon on noise is measured, after another one, and a pass of the validation
    attack; the measurement for the card, at the end, is not in it.

    Args:
        config: the run.
        image_shape: (C, H, W) of its images.
        num_classes: K.
        num_images: images of an epoch.
        num_validation: images that the run has for its evaluation after each epoch.

    Raises:
        InputError: as of `create_state`.
    """
    with torch.random.fork_rng():
        training, one_pass = _measured(config, image_shape, num_classes)
    limit = config.evaluation.num_images
    evaluated = num_validation if limit is None else min(limit, num_validation)
    evaluation = config.validation_attack().passes() * evaluated * one_pass
    return config.epochs * (num_images * training + evaluation)


def _measured(
    config: RunConfig, image_shape: tuple[int, int, int], num_classes: int
) -> tuple[float, float]:
    """Return the seconds of a step of training and of a pass of an attack, for one image."""
    state = create_state(config, image_shape, num_classes, DEVICE)
    number = max(MEASURED, num_classes)
    x = torch.rand((number, *image_shape), generator=torch.Generator().manual_seed(0))
    y = torch.arange(number) % num_classes
    state.method.prepare(x, y)
    state.method.on_epoch_start(config.epochs - 1, config.epochs)
    state.model.train()
    step = TrainingStep(config, state, x, y)
    first = _seconds(lambda: step(torch.arange(FEWEST), 0.0, 0))
    measured = FEWEST if first > SLOW else MEASURED
    training = _seconds(lambda: step(torch.arange(measured), 0.0, 1)) / measured
    state.model.eval()
    x, y = x[:measured], y[:measured]
    one_pass = _seconds(lambda: input_gradient(state.model, x, lambda z: cross_entropy(z, y)))
    return training, one_pass / measured


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
