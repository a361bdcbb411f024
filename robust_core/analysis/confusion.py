"""Which class is taken for which: confusion with and without an attack, and hard-class pairs.

The quantities behind Hou, Han and Li, "Improving Adversarial Robustness with Self-Paced Hard-Class
Pair Reweighting", AAAI 2023, arXiv:2210.15068 (figure 1), as this project defines them. Classes are
i (true) and j (predicted); all tensors are on the CPU.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, AttackStep, attack_from, check_images
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import OnProgress, RobustnessReport
from robust_core.gradients import predict_logits
from robust_core.models.modes import evaluation_mode

Denominator = Literal["all", "clean_correct"]


@dataclass(frozen=True)
class Confusion:
    """How many images of class i are predicted as j, without and with an attack.

    Attributes:
        clean: int64 [K,K], without an attack.
        attacked: int64 [K,K], with it, of all images.
        attacked_correct: int64 [K,K], with it, of the images predicted as labelled without it.
    """

    clean: Tensor
    attacked: Tensor
    attacked_correct: Tensor

    def clean_shares(self, among: Denominator = "all") -> Tensor:
        """Return C_ij, float32 [K,K]: shares of class i predicted j without an attack.

        Among the images that are correct without an attack this is the identity; rows without an
        image are NaN.
        """
        if among == "all":
            return row_shares(self.clean)
        return row_shares(self.clean.diag().diag())

    def attacked_shares(self, among: Denominator = "all") -> Tensor:
        """Return R_ij, float32 [K,K]: shares of class i predicted j under attack.

        Args:
            among: the images that count, "all" of the class or those that are correct without an
                attack. Rows add up to 1, or are NaN where no image counts.
        """
        return row_shares(self.attacked if among == "all" else self.attacked_correct)

    def difference(self, among: Denominator = "all") -> Tensor:
        """Return R_ij - C_ij, float32 [K,K] in [-1, 1]: what the attack has moved where."""
        return self.attacked_shares(among) - self.clean_shares(among)

    def largest_error_share(self) -> tuple[float, int]:
        """Return the share of errors under attack in the commonest wrong class of each class.

        And their number; the share is 0 where there is none.
        """
        errors = self.attacked.clone().fill_diagonal_(0)
        total = int(errors.sum())
        return int(errors.max(dim=1).values.sum()) / max(total, 1), total

    def clean_accuracy(self) -> "ClassAccuracy":
        """Return the accuracy of each class without an attack."""
        return class_accuracy(self.clean.diag(), self.clean.sum(dim=1))

    def robust_accuracy(self) -> "ClassAccuracy":
        """Return the share of each class that is correct without and with the attack."""
        return class_accuracy(self.attacked_correct.diag(), self.clean.sum(dim=1))


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy class by class.

    Attributes:
        accuracy: float32 [K] in [0, 1], NaN where a class has no image.
        num_images: int64 [K].
        worst: the class with the lowest accuracy, the first of several.
    """

    accuracy: Tensor
    num_images: Tensor
    worst: int


@dataclass(frozen=True)
class HardPair:
    """Two classes that are taken for each other.

    Attributes:
        first: the class of the pair that is taken for the other more often, i.
        second: the other one, j.
        strength: (R_ij + R_ji) / 2, in [0, 1].
        mutuality: min(R_ij, R_ji) / max(R_ij, R_ji): 0 one way only, 1 both ways alike.
    """

    first: int
    second: int
    strength: float
    mutuality: float


@dataclass(frozen=True)
class ConfusionPath:
    """Confusion over the steps of an attack, or over increasing epsilon.

    Attributes:
        values: the T numbers of steps, or epsilons in pixel units.
        counts: int64 [T,K,K], images of class i predicted j at each of them.
    """

    values: tuple[float, ...]
    counts: Tensor

    def shares(self, source: int) -> Tensor:
        """Return the distribution of predicted labels of class `source`: float32 [T,K]."""
        return row_shares(self.counts[:, source])


def confusion(y: Tensor, prediction: Tensor, attacked: Tensor, num_classes: int) -> Confusion:
    """Return the confusion of images with labels, predictions and predictions under attack.

    Args:
        y: labels [N], int64 in [0, K).
        prediction: classes predicted without an attack [N].
        attacked: classes predicted under attack [N].
        num_classes: K.
    """
    correct = prediction == y
    return Confusion(
        clean=count_pairs(y, prediction, num_classes),
        attacked=count_pairs(y, attacked, num_classes),
        attacked_correct=count_pairs(y[correct], attacked[correct], num_classes),
    )


def confusion_of(report: RobustnessReport, y: Tensor, num_classes: int) -> Confusion:
    """Return the confusion that an evaluation has measured, without running an attack again.

    The evaluator does not attack images that are wrong without an attack: they count with the
    prediction that they have. An image that an attack only reaches beyond its epsilon counts as
    correct.

    Args:
        report: from `evaluate`.
        y: the labels that it was called with [N].
        num_classes: K.
    """
    y = y.cpu()
    attacked = torch.where(report.robust_correct, y, report.attacked_prediction)
    return confusion(y, report.prediction, attacked, num_classes)


def count_pairs(y: Tensor, prediction: Tensor, num_classes: int) -> Tensor:
    """Return how many images of class i are predicted j: [N], [N] -> int64 [K,K].

    Raises:
        InputError: labels and predictions do not fit each other, or lie outside [0, K).
    """
    if y.shape != prediction.shape or y.dim() != 1:
        raise InputError(
            f"labels and predictions should both be [N], got {list(y.shape)} and "
            f"{list(prediction.shape)}"
        )
    for word, classes in (("labels", y), ("predictions", prediction)):
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
            raise InputError(
                f"{word} should be in [0, {num_classes - 1}], got {int(classes.min())} to "
                f"{int(classes.max())}"
            )
    pairs = (y * num_classes + prediction).cpu()
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


def row_shares(counts: Tensor) -> Tensor:
    """Return counts [..., K] over their sums: float32 [..., K]; NaN where the sum is 0."""
    return counts.float() / counts.sum(dim=-1, keepdim=True).float()


def hard_pairs(shares: Tensor, limit: int | None = None) -> list[HardPair]:
    """Return the pairs of classes that are confused, the strongest first.

    Args:
        shares: R [K,K]; the diagonal and rows that are NaN (classes without an image) are left out.
        limit: how many pairs at most; None: all whose strength is above 0.
    """
    shares = torch.nan_to_num(shares)
    pairs = []
    for i, j in torch.nonzero(((shares != 0) | (shares.T != 0)).triu(diagonal=1)).tolist():
        there, back = float(shares[i, j]), float(shares[j, i])
        first, second = (i, j) if there >= back else (j, i)
        mutuality = min(there, back) / max(there, back)
        pairs.append(HardPair(first, second, (there + back) / 2, mutuality))
    pairs.sort(key=lambda pair: (-pair.strength, pair.first, pair.second))
    return pairs[:limit]


def row_entropy(shares: Tensor) -> Tensor:
    """Return how evenly the errors of each class are spread: float32 [K] in [0, 1].

    H(q) / log(K - 1) with q_j = R_ij / sum over j != i of R_ij: 0 where one class takes all errors
    (a virtual target), 1 where all wrong classes get the same; NaN where there is no error. With
    two classes there is but one target: 0.

    Args:
        shares: R [K,K], shares or counts.
    """
    num_classes = len(shares)
    wrong = row_shares(shares * (1.0 - torch.eye(num_classes)))
    entropy = torch.special.entr(wrong).sum(dim=1)  # [K], 0 log 0 = 0
    return entropy / math.log(num_classes - 1) if num_classes > 2 else entropy


def confusion_over_steps(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, *, batch_size: int = 256
) -> ConfusionPath:
    """Return how predictions change while an attack goes on: every image is attacked.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images [N,C,H,W] in [0, 1], N at least 1.
        y: labels [N].
        attack: with one start; it must report all images at every step, as `pgd` does.
        batch_size: images a batch.

    Raises:
        InputError: images that do not fit, or an attack that leaves images out on its way.
    """
    _check(model, x, y)
    parts: list[Tensor] = []
    num_classes = 0
    for number, start in enumerate(range(0, len(x), batch_size)):
        chosen = slice(start, start + batch_size)
        steps: list[AttackStep] = []
        seeded = attack.model_copy(update={"seed": attack.seed + number})
        seeded(model, x[chosen], y[chosen], on_step=steps.append)
        partial = any(step.restart or len(step.logits) != len(y[chosen]) for step in steps)
        if partial or not steps or getattr(attack, "num_restarts", 1) > 1:
            raise InputError(
                f"the attack should report all images at every step, from one start, but "
                f"{attack.name} does not"
            )
        num_classes = steps[0].logits.shape[1]
        parts.append(torch.stack([step.logits.argmax(dim=1) for step in steps]))  # [T,B]
    if len({len(part) for part in parts}) > 1:
        raise InputError(f"the attack should take equally many steps on all images: {attack.name}")
    return _path(range(len(parts[0])), torch.cat(parts, dim=1), y, num_classes)


def confusion_over_epsilons(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    epsilons: Sequence[float],
    *,
    batch_size: int = 256,
    eot_samples: int = 1,
    on_progress: OnProgress | None = None,
) -> ConfusionPath:
    """Return how predictions change with epsilon: every image is attacked at each epsilon.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images [N,C,H,W] in [0, 1], N at least 1.
        y: labels [N].
        attack: with a budget. A step size that is given in pixel units grows with epsilon, in
            the proportion that it has to the attack's own.
        epsilons: values in pixel units, at least one.
        batch_size: images a batch.
        eot_samples: passes whose mean logits decide, for stochastic models.
        on_progress: called after each batch with the images done and in all, N for every epsilon.

    Raises:
        InputError: images that do not fit, no epsilon, one out of range, or a minimum-norm attack.
    """
    _check(model, x, y)
    if attack.minimum_norm or not epsilons:
        raise InputError(
            "a path over epsilons needs an attack with a fixed epsilon and at least one value, got "
            f"{attack.name} and {len(epsilons)}"
        )
    rows: list[Tensor] = []
    for epsilon in epsilons:
        scaled = _at_radius(attack, epsilon)
        parts = []
        for number, start in enumerate(range(0, len(x), batch_size)):
            chosen = slice(start, start + batch_size)
            seeded = scaled.model_copy(update={"seed": scaled.seed + number})
            x_adv = seeded(model, x[chosen], y[chosen])
            with evaluation_mode(model):
                parts.append(predict_logits(model, x_adv, eot_samples=eot_samples))
            if on_progress is not None:
                on_progress(len(rows) * len(x) + start + len(x_adv), len(epsilons) * len(x))
        rows.append(torch.cat(parts))  # [N, K]
    predictions = torch.stack([logits.argmax(dim=1) for logits in rows])
    return _path(epsilons, predictions, y, rows[0].shape[1])


def _check(model: nn.Module, x: Tensor, y: Tensor) -> None:
    check_images(model, x, y)
    if len(x) == 0:
        raise InputError("a confusion needs at least one image, got none")


def _at_radius(attack: Attack, epsilon: float) -> Attack:
    values = {**attack.model_dump(), "epsilon": epsilon}
    if values.get("step_size") is not None and attack.epsilon > 0:
        values["step_size"] *= epsilon / attack.epsilon
    return attack_from(attack.name, values)


def _path(
    values: Sequence[float], predictions: Tensor, y: Tensor, num_classes: int
) -> ConfusionPath:
    """Return the path of predictions [T,N]."""
    counts = torch.stack([count_pairs(y, row, num_classes) for row in predictions])
    return ConfusionPath(tuple(float(value) for value in values), counts)


def class_accuracy(correct: Tensor, total: Tensor) -> ClassAccuracy:
    """Return the accuracy of classes with `correct` of `total` images: int64 [K], [K]."""
    accuracy = correct.float() / total.float()
    worst = int(torch.nan_to_num(accuracy, nan=math.inf).argmin())
    return ClassAccuracy(accuracy, total, worst)
