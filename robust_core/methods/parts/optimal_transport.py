"""Optimal transport between two batches of logits: cosine cost and Sinkhorn's algorithm."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

REGULARISATION = 0.01
MAX_ITERATIONS = 100
TOLERANCE = 0.1
FLOOR = 1e-6  # inside the logarithm of the log-sum-exp, as released


def cosine_cost(z: Tensor, other: Tensor) -> Tensor:
    """Return C_ij = max(0, 1 - cos(z_i, other_j)): [M,K], [N,K] -> float32 [M,N], in [0, 2]."""
    cosine = F.normalize(z.float(), dim=1) @ F.normalize(other.float(), dim=1).T
    return (1.0 - cosine).clamp_min(0.0)


def sinkhorn(
    cost: Tensor,
    *,
    regularisation: float = REGULARISATION,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """Return the entropic transport plan T [M,N] between uniform marginals 1/M and 1/N.

    T = exp((u_i + v_j - C_ij) / regularisation), with potentials u, v by turns made to fit the rows
    and the columns, in the log domain. Stops when sum |u - u_before| < tolerance. Differentiable:
    the graph goes through every iteration.

    Source: Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013,
    arXiv:1306.0895, in the form of Zhang and Wang's released Feature Scattering code, with its
    1e-6 inside the logarithm. At the default tolerance it stops after few iterations, so the
    marginals hold roughly.

    Args:
        cost: [M,N], float32, at least 0.
        regularisation: weight of the entropy.
        max_iterations: at least 1.
        tolerance: largest sum of changes of u that counts as converged.
    """
    num_rows, num_columns = cost.shape
    u, v = cost.new_zeros(num_rows), cost.new_zeros(num_columns)

    def exponent() -> Tensor:
        return (u[:, None] + v[None] - cost) / regularisation

    def log_sum(values: Tensor, dim: int) -> Tensor:
        return torch.log(values.exp().sum(dim=dim) + FLOOR)

    for _ in range(max_iterations):
        before = u
        u = u + regularisation * (-math.log(num_rows) - log_sum(exponent(), 1))
        v = v + regularisation * (-math.log(num_columns) - log_sum(exponent(), 0))
        if float((u - before).detach().abs().sum()) < tolerance:
            break
    return exponent().exp()
