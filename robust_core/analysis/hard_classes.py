"""What makes a class hard for another: similarity, gradient share, targeted attacks.

The quantities behind Hou, Han and Li, "Improving Adversarial Robustness with Self-Paced Hard-Class
Pair Reweighting", AAAI 2023, arXiv:2210.15068, as this project defines them: does an untargeted
attack go for the class that is most similar? All results are on the CPU.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor, nn

from robust_core.attacks.base import Attack, check_images
from robust_core.errors import InputError
from robust_core.evaluation.batch import check_budget
from robust_core.gradients import class_difference_gradients, predict_logits
from robust_core.losses import margin
from robust_core.models.base import Classifier
from robust_core.models.guard import features_of
from robust_core.models.modes import evaluation_mode

OnProgress = Callable[[int, int], None]  # how many are done, and how many there are


@dataclass(frozen=True)
class TargetedOutcome:
    """What targeted attacks at every class have reached, image by image.

    Attributes:
        success: bool [N,K], the target is predicted; False for the image's own class.
        lead: float32 [N,K], the target's logit minus the largest other one, positive where the
            target is predicted; minus infinity for the image's own class.
    """

    success: Tensor
    lead: Tensor

    def matrix(self, y: Tensor) -> Tensor:
        """Return T_ij, float32 [K,K]: share of class i that an attack can turn into j.

        The diagonal is 0; rows of classes without an image are NaN.

        Args:
            y: labels [N].
        """
        return class_means(self.success.float(), y)

    def agreement(self, y: Tensor, prediction: Tensor) -> Tensor:
        """Return how often an untargeted attack ends in the class that is reached most easily.

        Of the fooled images of a class, the share whose prediction under the untargeted attack is
        the target with the largest lead: float32 [K], NaN where no image is fooled.

        Args:
            y: labels [N].
            prediction: classes predicted under the untargeted attack [N].
        """
        y = y.cpu()
        agrees = self.ends_at_easiest(y, prediction).float()[:, None]  # [M, 1]
        return class_means(agrees, y[prediction.cpu() != y], self.lead.shape[1]).squeeze(1)

    def ends_at_easiest(self, y: Tensor, prediction: Tensor) -> Tensor:
        """Return for each misclassified image whether it ends in its easiest target: bool [M].

        Args:
            y: labels [N].
            prediction: classes predicted under the untargeted attack [N], M of them wrong.
        """
        y, prediction = y.cpu(), prediction.cpu()
        return (self.lead.argmax(dim=1) == prediction)[prediction != y]


def class_weight_similarity(model: nn.Module) -> Tensor:
    """Return cos(w_i, w_j) of the rows of the final layer: float32 [K,K].

    Raises:
        InputError: the model has no linear final layer with weights for every class.
    """
    layer = model.class_layer if isinstance(model, Classifier) else None
    if layer is None:
        raise InputError(
            "class weights need a network whose final layer is linear, with weights for every "
            f"class, got {type(model).__name__}"
        )
    return _cosines(layer.weight)


@torch.no_grad()
def class_feature_similarity(
    model: Classifier, x: Tensor, y: Tensor, *, batch_size: int = 256
) -> Tensor:
    """Return cos(m_i, m_j) of the mean features of the classes: float32 [K,K].

    Those that the class weights multiply. Classes without an image have NaN.

    Args:
        model: a network that has features; used in eval mode, left unchanged.
        x: images [N,C,H,W] in [0, 1], clean ones.
        y: labels [N].
        batch_size: images a batch.

    Raises:
        InputError: images and labels that do not fit, or a model without features.
    """
    check_images(model, x, y)
    features = features_of(model)
    with evaluation_mode(model):
        parts = [model.class_features(features(part)) for part in x.split(batch_size)]
    features = torch.cat([part.float().cpu() for part in parts])
    return _cosines(class_means(features, y, model.num_classes))


def rank_correlation(similarity: Tensor, shares: Tensor) -> float:
    """Return Spearman's rank correlation of S_ij and R_ij over all i != j, in [-1, 1].

    High where an attack takes images to the classes that are similar anyway. The K (K - 1) entries
    are not independent of each other, so no p-value is given. Entries that are NaN are left out;
    NaN where fewer than three entries are left, or where one side is constant.

    Args:
        similarity: S [K,K].
        shares: R [K,K].
    """
    off_diagonal = ~torch.eye(len(shares), dtype=torch.bool)
    valid = off_diagonal & torch.isfinite(similarity) & torch.isfinite(shares)
    one, other = similarity[valid], shares[valid]
    if len(one) < 3 or float(one.std()) == 0.0 or float(other.std()) == 0.0:
        return float("nan")
    # of ranks, with the mean rank for ties
    ranks = torch.from_numpy(np.stack([rankdata(one.numpy()), rankdata(other.numpy())]))
    return float(torch.corrcoef(ranks)[0, 1])


def gradient_share(logits: Tensor, y: Tensor) -> Tensor:
    """Return g_ij = mean over class i of p_j / (1 - p_y), float32 [K,K].

    The input gradient of cross-entropy is sum over j != y of p_j (grad z_j - grad z_y), so this is
    the weight of class j among those that steer an attack on class i. Rows add up to 1, or are NaN
    where a class has no image; the diagonal is 0.

    Args:
        logits: [N,K] as the loss sees them: cosine logits times the scale of their loss.
        y: labels [N].
    """
    # p_j / (1 - p_y) is the softmax over the wrong classes, which does not cancel for p_y near 1
    wrong = logits.float().scatter(1, y[:, None], float("-inf")).softmax(dim=1)
    return class_means(wrong.cpu(), y)


def perturbation_alignment(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    x_adv: Tensor,
    *,
    batch_size: int = 256,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """Return the mean over class i of cos(grad_x (z_j - z_y), x_adv - x): float32 [K,K].

    The class j with the largest value is the one that the perturbation follows. The diagonal and
    rows of classes without an image are NaN; an image that was not moved, or whose gradient is
    zero, counts as 0. Costs K - 1 backward passes an image.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images [N,C,H,W], where the gradient is taken, N at least 1.
        y: labels [N].
        x_adv: attacked images [N,C,H,W].
        batch_size: images a batch.
        on_progress: called after each batch with the images done and in all.
    """
    check_images(model, x, y)
    parts = []
    for start in range(0, len(x), batch_size):
        chosen = slice(start, start + batch_size)
        with evaluation_mode(model):
            at = class_difference_gradients(model, x[chosen], y[chosen])
        delta = (x_adv[chosen] - x[chosen]).flatten(1)[:, None]  # [B, 1, CHW]
        cosines = F.cosine_similarity(at.gradient.flatten(2), delta, dim=2).cpu()  # [B, K-1]
        whole = torch.zeros(at.logits.shape)
        whole[torch.arange(whole.shape[1]) != y[chosen].cpu()[:, None]] = cosines.flatten()
        parts.append(whole)
        if on_progress is not None:
            on_progress(min(start + batch_size, len(x)), len(x))
    return class_means(torch.cat(parts), y).fill_diagonal_(float("nan"))


def perturbation_similarity(
    x: Tensor, x_adv: Tensor, y: Tensor, num_classes: int | None = None
) -> Tensor:
    """Return how alike the perturbations of two classes are: float32 [K,K] in [-1, 1].

    The mean of cos(delta, delta') over all images of class i and all others of class j; on the
    diagonal over different images of one class. -1 where what is done to i is undone to j, as
    between the two classes of a linear model. Images that were not moved count as 0; NaN stands
    where a class has no image (on the diagonal: no two).

    Args:
        x: images [N,C,H,W].
        x_adv: attacked images [N,C,H,W].
        y: labels [N].
        num_classes: K; None: the largest label plus 1.
    """
    directions = F.normalize((x_adv - x).flatten(1).double().cpu(), dim=1)
    members = F.one_hot(y.cpu(), num_classes or -1).double()  # [N, K]
    number = members.sum(dim=0)
    total = members.T @ directions  # [K, CHW]
    inner, pairs = total @ total.T, number[:, None] * number
    own = members.T @ directions.square().sum(dim=1)  # of each image with itself, left out
    pairs = pairs - number.diag()
    return torch.where(pairs > 0, (inner - own.diag()) / pairs, torch.nan).float()


def hardest_classes(shares: Tensor) -> Tensor:
    """Return the class that each class is mostly taken for: int64 [K], -1 where there is none.

    Args:
        shares: R [K,K]; the diagonal and NaN do not count.
    """
    errors = torch.nan_to_num(shares).fill_diagonal_(0.0)
    most = errors.max(dim=1)
    return torch.where(most.values > 0, most.indices, -1)


def mean_at_hardest(values: Tensor, shares: Tensor) -> tuple[float, float]:
    """Return the means of V_ij over the hardest class j of each i, and over all other j != i.

    With V the gradient share, the first says how much of the gradient goes to one class; an even
    split would give 1 / (K - 1) to each. NaN where nothing is left to average.

    Args:
        values: V [K,K]; the diagonal and NaN do not count.
        shares: R [K,K], from which the hardest classes are taken.
    """
    hardest, num_classes = hardest_classes(shares), len(shares)
    hard = F.one_hot(hardest.clamp_min(0), num_classes).bool() & (hardest >= 0)[:, None]
    counted = torch.isfinite(values) & ~torch.eye(num_classes, dtype=torch.bool)
    counted &= (hardest >= 0)[:, None]
    return values[hard & counted].mean().item(), values[~hard & counted].mean().item()


def targeted_outcome(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    *,
    batch_size: int = 256,
    eot_samples: int = 1,
    on_progress: OnProgress | None = None,
) -> TargetedOutcome:
    """Attack every image once towards every other class.

    Costs K - 1 attacks an image.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images [N,C,H,W] in [0, 1].
        y: labels [N].
        attack: with a budget; how each target is sought.
        batch_size: images a batch.
        eot_samples: passes whose mean logits decide, for stochastic models.
        on_progress: called after each target with those done and in all.

    Raises:
        InputError: images and labels that do not fit, no image, or a minimum-norm attack.
    """
    check_images(model, x, y)
    if attack.minimum_norm or len(x) == 0:
        raise InputError(
            f"targeted success needs an attack with a budget and at least one image, got "
            f"{attack.name} and {len(x)} images"
        )
    with evaluation_mode(model):
        num_classes = predict_logits(model, x[:1]).shape[1]
    lead = torch.full((len(x), num_classes), float("-inf"))
    for target in range(num_classes):
        wanted = (y != target).nonzero()[:, 0]
        for number, start in enumerate(range(0, len(wanted), batch_size)):
            index = wanted[start : start + batch_size]
            criterion = torch.full_like(y[index], target)
            seeded = attack.model_copy(update={"seed": attack.seed + number})
            x_adv = seeded(model, x[index], y[index], target=criterion)
            check_budget(x_adv, x[index], attack)
            with evaluation_mode(model):
                logits = predict_logits(model, x_adv, eot_samples=eot_samples)
            lead[index.cpu(), target] = -margin(logits, criterion).cpu()
        if on_progress is not None:
            on_progress(target + 1, num_classes)
    return TargetedOutcome(lead > 0.0, lead)


def class_means(values: Tensor, y: Tensor, num_classes: int | None = None) -> Tensor:
    """Return the mean of each class's rows: [N,D], [N] -> float32 [K,D]; NaN without an image.

    Args:
        values: on the CPU.
        y: labels, int64 in [0, K).
        num_classes: K; None: D, for values that are one column a class.
    """
    members = F.one_hot(y.cpu(), num_classes or values.shape[1]).float()  # [N, K]
    return members.T @ values.float() / members.sum(dim=0)[:, None]


def _cosines(rows: Tensor) -> Tensor:
    directions = F.normalize(rows.detach().float().cpu(), dim=1)
    return directions @ directions.T
