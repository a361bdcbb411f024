"""How long passes through a model take on this machine."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust_core.evaluation.check import Cost
from robust_core.gradients import input_gradient, predict_logits
from robust_core.losses import cross_entropy
from robust_core.models.modes import evaluation_mode

MOST_IMAGES, MOST_PIXELS = 32, 256 * 3 * 32 * 32  # in one pass
MOST_SECONDS, MOST_ROUNDS = 1.0, 4


@dataclass(frozen=True)
class Pace:
    """Seconds an image: of a pass forward and backward, and of one that goes forward only."""

    seconds_per_pass: float
    seconds_per_query: float

    def seconds(self, cost: Cost) -> float:
        """Return how long passes and queries of an image take together."""
        return cost.passes * self.seconds_per_pass + cost.queries * self.seconds_per_query


@torch.inference_mode(False)
def measured_pace(model: nn.Module, x: Tensor) -> Pace:
    """Measure a model on the first of these images, for a second or two rounds.

    Nothing changes: neither the model nor any random generator.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W], N at least 1.
    """
    number = max(1, min(MOST_IMAGES, MOST_PIXELS // x[0].numel()))
    x = x[:number]
    y = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    passes, queries = [], []
    with torch.random.fork_rng(), evaluation_mode(model):
        while len(passes) < 2 or (
            len(passes) < MOST_ROUNDS and sum(passes) + sum(queries) < MOST_SECONDS
        ):
            started = time.perf_counter()
            predict_logits(model, x)
            between = time.perf_counter()
            input_gradient(model, x, lambda logits: cross_entropy(logits, y))
            passes.append(time.perf_counter() - between)
            queries.append(between - started)
    return Pace(min(passes) / len(x), min(queries) / len(x))  # the first ones also warm up
