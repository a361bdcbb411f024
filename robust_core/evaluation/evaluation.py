"""The public evaluation: a number, and with `check` what it is worth."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack
from robust_core.data.splits import stratified_order
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import OnProgress, RobustnessReport, measure_accuracy
from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.reliability import check_reliability


def evaluate(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack | None = None,
    *,
    check: bool = False,
    check_num_images: int = 64,
    batch_size: int = 256,
    eot_samples: int = 1,
    num_repeats: int = 1,
    surrogate: nn.Module | None = None,
    on_progress: OnProgress | None = None,
) -> RobustnessReport:
    """Measure clean accuracy and accuracy under `attack`.

    Images that are misclassified without an attack count as not robust and are not attacked, so
    robust accuracy never exceeds clean accuracy. The seed of batch number b is attack.seed + b; it
    decides the noise of a stochastic model, too, so a repeated evaluation gives the same numbers.
    The caller's state does not matter: inside `torch.inference_mode` the numbers are the same.

    Predictions of a stochastic model vary. With one repeat the accuracies are those of a single
    prediction; with several, an image counts as correct only if it is in all of them, so that no
    lucky draw makes an adversarial image robust.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images [N,C,H,W], float in [0, 1], N at least 1.
        y: labels [N], int64.
        attack: None measures clean accuracy alone.
        check: also run the reliability checks (masked gradients, weak attacks): the report then
            has `findings`, their summary `checks`, and the `lowest` accuracy that any check found.
            Costs about 25 times the attack on the checked images.
        check_num_images: images of the checks, a stratified sample of these.
        batch_size: images a batch.
        eot_samples: forward passes averaged per prediction, for stochastic models.
        num_repeats: repeated evaluations, all of which must be correct, for stochastic models.
        surrogate: another model with the same classes, on which the attack is computed; `model` is
            evaluated (a transfer attack). Its passes count, too. None attacks `model` itself.
        on_progress: called after each batch with the images done and in all.

    Warns in one sentence where the model or a layer is in train mode, where it returns
    probabilities, and where its outputs for attacked images are not finite: these are fooled.

    Raises:
        InputError: no images; a count below 1; images, labels and outputs that do not fit each
            other; a model that raises; outputs for clean images that are not finite; `check`
            without an attack.
        RuntimeError: the attack left the image box or, if it has a budget, its threat model.
    """
    report = measure_accuracy(
        model,
        x,
        y,
        attack,
        batch_size=batch_size,
        eot_samples=eot_samples,
        num_repeats=num_repeats,
        surrogate=surrogate,
        on_progress=on_progress,
    )
    if not check:
        return report
    if attack is None:
        raise InputError("check=True checks a number under attack: expected an attack, got none")
    if check_num_images < 1:
        raise InputError(f"check_num_images must be at least 1, got {check_num_images}")
    order = stratified_order(y.cpu().numpy(), min(check_num_images, len(y)), seed=0)
    index = torch.from_numpy(order)
    chosen = index.to(x.device)
    case = ReliabilityCase(
        model, x[chosen], y[chosen], attack, eot_samples=eot_samples, surrogate=surrogate
    )
    findings = check_reliability(case)
    return replace(
        report,
        findings=tuple(findings),
        checked_correct=case.worst_case,
        checked_index=index,
    )
