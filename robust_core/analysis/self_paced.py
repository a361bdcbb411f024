"""The self-paced loss in pictures: its weights, its surface, and where its consistency term acts.

Source of the loss: Hou, Han and Li, "Improving Adversarial Robustness with Self-Paced Hard-Class
Pair Reweighting", AAAI 2023, arXiv:2210.15068, as in the released code. z are cosines between
features and class weights, unscaled; m is the offset of the weights and s the scale of the loss:

    alpha_y = 1 + m - z_y,  alpha_j = z_j + m,  u_k = s alpha_k z_k,  L = cross-entropy of u
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.analysis.hard_classes import class_means
from robust_core.errors import InputError
from robust_core.losses import divergence_terms, self_paced_floor, self_paced_weights
from robust_core.models.base import Classifier
from robust_core.models.heads import CosineHead
from robust_core.models.modes import evaluation_mode

LARGEST_SIZE = 401


@dataclass(frozen=True)
class SelfPacedSurface:
    """The loss as a function of the label's similarity and of that of all other classes.

    Attributes:
        similarity: float32 [S], both axes, from -1 to 1.
        loss: float32 [S,S], in nats; rows follow z_y, columns the z_j that all wrong classes share.
        label_logit: float32 [S], u_y along the axis. wrong_logit: float32 [S], u_j.
        best_label: z_y = (1 + m) / 2 with the lowest loss, inside the axis: a higher similarity is
            pushed down again.
        best_wrong: z_j = -m / 2 with the lowest loss.
        floor: the loss there, which training cannot get below: `losses.self_paced_floor`.
    """

    similarity: Tensor
    loss: Tensor
    label_logit: Tensor
    wrong_logit: Tensor
    best_label: float
    best_wrong: float
    floor: float


@dataclass(frozen=True)
class Consistency:
    """Where the consistency term sum_k t_k^2 + n KL(p || q) acts, t_k = p_k (log p_k - log q_k).

    Attributes:
        by_rank: float32 [K], mean t_k of the class with the r-th largest clean similarity: rank 0
            is the label whatever its similarity, 1 the hardest other class, K - 1 the easiest.
        squares: mean of sum_k t_k^2. divergence: mean of n KL(p || q). Both in nats.
    """

    by_rank: Tensor
    squares: float
    divergence: float

    @property
    def share_of_squares(self) -> float:
        """Return the share of the squares in the whole term, in [0, 1]; NaN where that is 0."""
        total = self.squares + self.divergence
        return self.squares / total if total > 0 else math.nan


def self_paced_surface(
    num_classes: int = 10, scale: float = 8.0, offset: float = 0.2, *, size: int = 101
) -> SelfPacedSurface:
    """Return the self-paced loss on a grid of similarities.

    Args:
        num_classes: K, at least 2.
        scale: s, above 0.
        offset: m, in [0, 1].
        size: grid points a side, 3 to 401.

    Raises:
        InputError: a value out of its range.
    """
    if num_classes < 2 or scale <= 0 or not 0 <= offset <= 1 or not 3 <= size <= LARGEST_SIZE:
        raise InputError(
            f"a self-paced surface needs at least 2 classes, a scale above 0, an offset in [0, 1] "
            f"and a size in [3, {LARGEST_SIZE}], got {num_classes}, {scale:g}, {offset:g} and "
            f"{size}"
        )
    similarity = torch.linspace(-1.0, 1.0, size)
    pair = similarity[:, None].expand(-1, 2)  # column 0 as the label, column 1 as another class
    logits = scale * self_paced_weights(pair, torch.zeros(size, dtype=torch.int64), offset) * pair
    label, wrong = logits.unbind(dim=1)
    gap = wrong[None] - label[:, None] + math.log(num_classes - 1)  # [S, S]
    return SelfPacedSurface(
        similarity=similarity,
        loss=F.softplus(gap),
        label_logit=label,
        wrong_logit=wrong,
        best_label=(1.0 + offset) / 2,
        best_wrong=-offset / 2,
        floor=self_paced_floor(num_classes, scale, offset),
    )


@torch.no_grad()
def class_cosines(model: Classifier, x: Tensor, *, batch_size: int = 256) -> Tensor | None:
    """Return the cosines z between features and class weights: float32 [N,K], on the CPU.

    With the bias where the network's own logits are cosines plus a bias, so that they are its
    logits. None where the network has no linear final layer with weights for every class.

    Args:
        model: used in eval mode, left unchanged.
        x: images [N,C,H,W] in [0, 1].
        batch_size: images a batch.
    """
    head = model.class_layer
    if head is None:
        return None
    bias = head.bias if isinstance(head, CosineHead) else None
    weight = F.normalize(head.weight.float(), dim=1)
    with evaluation_mode(model):
        parts = [
            F.linear(_directions(model, part), weight, bias).cpu() for part in x.split(batch_size)
        ]
    return torch.cat(parts)


def _directions(model: Classifier, x: Tensor) -> Tensor:
    return F.normalize(model.class_features(model.features(x)).float(), dim=1)


def mean_weights(similarity: Tensor, y: Tensor, offset: float) -> Tensor:
    """Return the mean weights of class i's images: float32 [K,K].

    Off the diagonal alpha_ij = mean of z_j + m, on it alpha_y = mean of 1 + m - z_y; NaN in rows of
    classes without an image.

    Args:
        similarity: cosines z [N,K], unscaled.
        y: labels [N].
        offset: m.
    """
    return class_means(self_paced_weights(similarity, y, offset).cpu(), y)


def pair_consistency(
    similarity: Tensor, similarity_adv: Tensor, y: Tensor, *, scale: float, offset: float
) -> Consistency:
    """Return how clean and attacked outputs differ, from the hardest class to the easiest.

    p = softmax(s z) of the clean and q = softmax(s z_adv) of the attacked images.

    Args:
        similarity: cosines z of clean images [N,K], unscaled.
        similarity_adv: those of attacked images [N,K].
        y: labels [N].
        scale: s.
        offset: n, the weight of the divergence.
    """
    terms = divergence_terms(scale * similarity, scale * similarity_adv)  # [N, K]
    # the label comes first, the others in the order of their similarity
    order = similarity.scatter(1, y[:, None], float("inf")).argsort(dim=1, descending=True)
    return Consistency(
        by_rank=terms.gather(1, order).mean(dim=0).cpu(),
        squares=float(terms.square().sum(dim=1).mean()),
        divergence=float(offset * terms.sum(dim=1).mean()),
    )
