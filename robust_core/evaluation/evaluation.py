"""The public evaluation: a number, and with `check` what it is worth."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack
from robust_core.data.splits import stratified_order
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import OnProgress, RobustnessReport, measure_accuracy
from robust_core.evaluation.reliability import check_reliability
from robust_core.evaluation.subject import Subject


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
    num_verdicts: int = 1,
    surrogate: nn.Module | None = None,
    on_progress: OnProgress | None = None,
) -> RobustnessReport:
    """Measure clean accuracy and accuracy under `attack`.

    Images that the model gets wrong without help count as not robust and are not attacked, so
    robust accuracy never exceeds clean accuracy. The seed of batch number b is attack.seed + b; it
    decides the noise of a stochastic model, too, so a repeated evaluation gives the same numbers.
    The caller's state does not matter: inside `torch.inference_mode` the numbers are the same.

    A stochastic model is right or wrong by chance. With one verdict the accuracies are those of a
    single answer; with several, only images that are right in every one count, so that no lucky
    draw makes an adversarial image robust.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images [N,C,H,W], float in [0, 1], N at least 1.
        y: labels [N], int64.
        attack: None measures clean accuracy alone.
        check: check the number under attack for masked gradients and other pitfalls, too: the
            report then has `findings`, a `verdict`, and the `lowest` that any of the checks found.
            Costs about 25 times the attack on the checked images.
        check_num_images: images of the checks, a stratified sample of these.
        batch_size: images a batch.
        eot_samples: passes whose mean logits decide, for stochastic models.
        num_verdicts: independent decisions, all of which must be right, for stochastic models.
        surrogate: another model with the same classes, on which the attack is made; `model` judges
            the images (a transfer attack). Its passes count, too. None attacks `model` itself.
        on_progress: called after each batch with the images done and in all.

    Warns in one sentence where the model or a layer is in train mode, where it returns
    probabilities, and where its outputs for attacked images are not finite: these have fallen.

    Raises:
        InputError: no images; a count below 1; images, labels and outputs that do not fit each
            other; a model that raises; outputs for clean images that are not finite; `check`
            without an attack.
        RuntimeError: the attack left the image box or, if it has a budget, its ball.
    """
    report = measure_accuracy(
        model,
        x,
        y,
        attack,
        batch_size=batch_size,
        eot_samples=eot_samples,
        num_verdicts=num_verdicts,
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
    subject = Subject(
        model, x[chosen], y[chosen], attack, eot_samples=eot_samples, crafted_on=surrogate
    )
    findings = check_reliability(subject)
    return replace(
        report,
        findings=tuple(findings),
        checked_correct=subject.worst_case,
        checked_index=index,
    )
