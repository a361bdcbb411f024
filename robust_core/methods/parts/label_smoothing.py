"""Smoothed labels, as Feature Scattering and ATLD train on."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

LabelSmoothing = Annotated[
    float,
    Field(
        ge=0.0,
        lt=1.0,
        description="Label smoothing (delta): probability spread equally over the other classes.",
    ),
]


def smooth_labels(y: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return target probabilities [N,K]: 1 - delta for the label, delta / (K - 1) elsewhere.

    With delta = 0.5 and K = 10: 0.5 and 0.0556.

    Args:
        y: labels [N].
        num_classes: K.
        smoothing: delta, in [0, 1).
    """
    others = torch.full((len(y), num_classes), smoothing / (num_classes - 1), device=y.device)
    return others.scatter(1, y[:, None], 1.0 - smoothing)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return - sum_k t_k log p_k in float32: logits [N,K], probabilities [N,K] -> [N], in nats."""
    return -(target * F.log_softmax(logits.float(), dim=1)).sum(dim=1)
