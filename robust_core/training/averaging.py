"""Exponential moving average of weights."""

import copy

import torch

from robust_core.models.base import Classifier


class WeightAverage:
    """A copy of a network whose weights are a moving average of it.

        w_avg <- d w_avg + (1 - d) w,   d = min(decay, (1 + t) / (10 + t)) at update t = 0, 1, ...

    The smaller d at the beginning keeps the random initial weights out of the average. Running
    statistics of batch norm are averaged too; integer buffers are copied.

    torch's `AveragedModel` has no such warm-up: its first update copies, and its decay is fixed.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J.
    Control and Optimization 1992; the warm-up is TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: Classifier, decay: float) -> None:
        """Start from a frozen copy of `model`."""
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: Classifier, step: int) -> None:
        """Move towards `model` after optimiser step number `step`, from 0."""
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        current = model.state_dict()
        for key, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[key], weight)
            else:
                average.copy_(current[key])
