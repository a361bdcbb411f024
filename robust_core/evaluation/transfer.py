"""Transfer of adversarial images: computed on one model, evaluated on another.

An image that was computed on another model and fools this one was not hard to find: where the
attack on the model itself does not find it, the model's own gradient is hiding the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import OnProgress, RobustnessReport, measure_accuracy
from robust_core.evaluation.trace import AttackTrace, default_eot_samples
from robust_core.gradients import predict_logits


@dataclass(frozen=True, eq=False)
class TransferMatrix:
    """M models on each other's adversarial images.

    Attributes:
        reports: M rows of M reports: computed on the model of the row, the surrogate, and evaluated
            on the model of the column. The diagonal is the attack on the model itself.
    """

    reports: tuple[tuple[RobustnessReport, ...], ...]

    @property
    def num_images(self) -> int:
        """How many images every model was evaluated on."""
        return self.reports[0][0].num_images

    @cached_property
    def clean_accuracy(self) -> Tensor:
        """Accuracy of each model without an attack: float64 [M]."""
        return torch.tensor([one.clean_accuracy for one in self.reports[0]], dtype=torch.float64)

    @cached_property
    def robust_accuracy(self) -> Tensor:
        """Accuracy under attack, surrogates in rows: float64 [M,M]."""
        return torch.tensor(
            [[one.robust_accuracy for one in row] for row in self.reports], dtype=torch.float64
        )

    @cached_property
    def num_correct(self) -> Tensor:
        """How many images each model classifies correctly without an attack: int64 [M]."""
        return torch.stack([one.clean_correct.sum() for one in self.reports[0]])

    @cached_property
    def fooling_rate(self) -> Tensor:
        """Share of the correct images that are misclassified under attack: float64 [M,M].

        Of the `num_correct` images of the column; NaN where there is none.
        """
        robust = torch.tensor(
            [[int(one.robust_correct.sum()) for one in row] for row in self.reports],
            dtype=torch.float64,
        )
        return 1.0 - robust / self.num_correct

    def masked(self) -> list[tuple[int, int]]:
        """Return the models that a surrogate's images fool clearly more often than their own.

        Pairs of model and surrogate, for every model whose accuracy on the images of its worst
        surrogate lies, with its 95 % interval, below that under the attack on the model itself: a
        sign of masked gradients.
        """
        worst = self.robust_accuracy.argmin(dim=0).tolist()
        return [
            (model, surrogate)
            for model, surrogate in enumerate(worst)
            if self.reports[surrogate][model].robust_interval[1]
            < self.reports[model][model].robust_accuracy
        ]


def transfer_matrix(
    models: Sequence[nn.Module],
    x: Tensor,
    y: Tensor,
    attack: Attack,
    *,
    batch_size: int = 256,
    on_progress: OnProgress | None = None,
) -> TransferMatrix:
    """Attack images on every model and evaluate every model on all of them.

    An image that a model misclassifies without an attack is not attacked and counts as not robust,
    as in `evaluate`. A stochastic model decides by the mean of 10 passes.

    Args:
        models: M of them; each maps [N,C,H,W] in [0, 1] to logits [N,K] of the same classes.
        x: images [N,C,H,W], float in [0, 1], N at least 1.
        y: labels [N], int64.
        attack: the attack, untargeted.
        batch_size: images a batch.
        on_progress: called after each batch with the images done and in all, N for every pair of
            models; an exception it raises ends the work.

    Raises:
        InputError: no model; or as for `evaluate`.
        RuntimeError: the attack left the image box or its threat model.
    """
    if not models:
        raise InputError("a transfer matrix needs at least one model, got none")
    total, rows = len(models) ** 2 * len(x), []
    for surrogate in models:
        row: list[RobustnessReport] = []
        for model in models:
            before = (len(rows) * len(models) + len(row)) * len(x)

            def report(done: int, _: int, before: int = before) -> None:
                if on_progress is not None:
                    on_progress(before + done, total)

            row.append(
                measure_accuracy(
                    model,
                    x,
                    y,
                    attack,
                    batch_size=batch_size,
                    eot_samples=default_eot_samples(model),
                    surrogate=None if model is surrogate else surrogate,
                    on_progress=report,
                )
            )
        rows.append(tuple(row))
    return TransferMatrix(tuple(rows))


def trace_transfer(models: Sequence[nn.Module], traces: Sequence[AttackTrace]) -> Tensor:
    """Return what every model makes of one image as it was attacked on each of them.

    Args:
        models: M of them.
        traces: the recorded attack on each.

    Returns:
        Probabilities, float32 [M,M,K]: surrogate, evaluated model, class. The diagonal is that of
        the traces.
    """
    x_adv = torch.stack([trace.x_adv for trace in traces])
    columns = [
        predict_logits(model, x_adv, eot_samples=default_eot_samples(model)).softmax(dim=1)
        for model in models
    ]
    found = torch.stack(columns, dim=1)  # [M, M, K]
    for i, trace in enumerate(traces):
        found[i, i] = torch.from_numpy(trace.adversarial)
    return found


def fooled_by_others_alone(
    probabilities: Tensor, traces: Sequence[AttackTrace]
) -> dict[int, list[int]]:
    """Return the models that resist the attack on themselves but not the image of a surrogate.

    Args:
        probabilities: of `trace_transfer` [M,M,K].
        traces: the recorded attack on each model.

    Returns:
        Model -> the surrogates whose image it misclassifies; only models that classify the image
        correctly without an attack and under the attack on themselves.
    """
    predictions = probabilities.argmax(dim=2)  # [M, M]
    found = {}
    for model, trace in enumerate(traces):
        fooling = (predictions[:, model] != trace.label).nonzero()[:, 0].tolist()
        if fooling and trace.clean_prediction == trace.prediction == trace.label:
            found[model] = fooling
    return found
