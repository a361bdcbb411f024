"""Per-sample losses on logits, in float32 whatever the precision of the network.

The losses take logits [N,K] and integer labels [N] (int64, in [0, K)) and return [N].
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return -log p_y with p = softmax(logits): [N,K], [N] -> [N], in nats."""
    return F.cross_entropy(logits.float(), y, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return max over k != y of z_k, minus z_y: [N,K], [N] -> [N]; positive when y has lost.

    The loss f_6 of Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks",
    IEEE S&P 2017, arXiv:1608.04644, without the cut at kappa.
    """
    logits = logits.float()
    correct = logits.gather(1, y[:, None]).squeeze(1)
    others = logits.scatter(1, y[:, None], float("-inf"))
    return others.amax(dim=1) - correct


def class_logit(logits: Tensor, y: Tensor) -> Tensor:
    """Return z_y: [N,K], [N] -> [N]."""
    return logits.float().gather(1, y[:, None]).squeeze(1)


def log_probability(logits: Tensor, y: Tensor) -> Tensor:
    """Return log p_y with p = softmax(logits): [N,K], [N] -> [N]."""
    return -cross_entropy(logits, y)


def log_odds(logits: Tensor, y: Tensor) -> Tensor:
    """Return log p_y / (1 - p_y) = z_y - log sum_{k != y} exp z_k: [N,K], [N] -> [N].

    d log p_y = (1 - p_y) d log_odds: the gradients of both point the same way, but this one does
    not vanish where the network is sure.
    """
    logits = logits.float()
    others = logits.scatter(1, y[:, None], float("-inf"))
    return logits.gather(1, y[:, None]).squeeze(1) - others.logsumexp(dim=1)


def kl_divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """Return KL(p || q) = sum_k p_k (log p_k - log q_k): [N,K], [N,K] -> [N], in nats."""
    return divergence_terms(logits_p, logits_q).sum(dim=1)


def divergence_terms(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """Return t_k = p_k (log p_k - log q_k), of either sign: [N,K], [N,K] -> [N,K], in nats."""
    log_p = F.log_softmax(logits_p.float(), dim=1)
    log_q = F.log_softmax(logits_q.float(), dim=1)
    return log_p.exp() * (log_p - log_q)


def self_paced_weights(similarity: Tensor, y: Tensor, offset: float) -> Tensor:
    """Return alpha: 1 + m - z_y for the label, z_j + m for other classes: [N,K], [N] -> [N,K].

    The weights of the self-paced loss, cross-entropy of the logits scale * alpha_k * z_k. Large
    where the similarity of the label is low and where that of another class is high.

    Source: Hou, Han and Li, "Improving Adversarial Robustness with Self-Paced Hard-Class Pair
    Reweighting", AAAI 2023, arXiv:2210.15068, as in the released code: neither detached nor cut.

    Args:
        similarity: cosines z [N,K] of features and class weights, unscaled.
        y: labels [N].
        offset: m, 0.2 in the released code.
    """
    is_label = F.one_hot(y, similarity.shape[1]).bool()
    return torch.where(is_label, 1.0 + offset - similarity, similarity + offset)


def self_paced_floor(num_classes: int, scale: float, offset: float) -> float:
    """Return the smallest value of the self-paced loss, in nats: a loss near it is no failure.

        log(1 + (K - 1) exp(-scale ((1 + offset)^2 + offset^2) / 4))

    It is reached at z_y = (1 + offset) / 2 and z_j = -offset / 2, see `self_paced_weights`: 0.383
    for K = 10 and 1.813 for K = 100 at scale 8 and offset 0.2.

    Args:
        num_classes: K.
        scale: s, above 0.
        offset: m, in [0, 1].
    """
    gap = scale * ((1.0 + offset) ** 2 + offset**2) / 4.0
    return math.log1p((num_classes - 1) * math.exp(-gap))


def cosine_floor(num_classes: int) -> float:
    """Return log(1 + (K - 1) / e^2), in nats: no cross-entropy of K bare cosines is less.

    It is 0.797 for K = 10 and 2.667 for K = 100.
    """
    return math.log1p((num_classes - 1) * math.exp(-2.0))


def accuracy_count(logits: Tensor, y: Tensor) -> int:
    """Return how many of the N images are predicted as labelled; NaN logits count as wrong."""
    return int(is_correct(logits, y).sum())


def is_correct(logits: Tensor, y: Tensor) -> Tensor:
    """Return for each image whether argmax(logits) = y: [N,K], [N] -> bool [N].

    An image with any NaN among its logits counts as wrong.
    """
    return (logits.argmax(dim=1) == y) & ~torch.isnan(logits).any(dim=1)


def difference_of_logits_ratio(logits: Tensor, y: Tensor) -> Tensor:
    """Return DLR = -(z_y - max_{k != y} z_k) / (z_(1) - z_(3)): [N,K], [N] -> [N].

    z_(i) is the i-th largest logit; the ratio does not change when all logits are shifted or
    scaled. With K = 2 there is no third logit: the plain margin is returned.

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
    Diverse Parameter-Free Attacks", ICML 2020, arXiv:2003.01690, eq. 6.
    """
    if logits.shape[1] < 3:
        return margin(logits, y)
    top = logits.float().topk(3, dim=1).values
    return margin(logits, y) / (top[:, 0] - top[:, 2] + 1e-12)


def targeted_difference_of_logits_ratio(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2): [N,K], [N], [N] -> [N].

    With K < 4 there is no fourth logit: z_t - z_y is returned without the ratio.

    Source: as `difference_of_logits_ratio`, eq. 7.
    """
    logits = logits.float()
    difference = (logits.gather(1, target[:, None]) - logits.gather(1, y[:, None])).squeeze(1)
    if logits.shape[1] < 4:
        return difference
    top = logits.topk(4, dim=1).values
    return difference / (top[:, 0] - 0.5 * (top[:, 2] + top[:, 3]) + 1e-12)
