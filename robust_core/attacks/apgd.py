"""Auto-PGD: projected ascent with momentum whose step size adapts to its own progress."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import (
    ATTACKS,
    Attack,
    AttackStep,
    EotSamples,
    NumRestarts,
    NumSteps,
    OnStep,
)
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.attacks.projected_ascent import best_of_rounds
from robust_core.gradients import input_gradient, predict_logits
from robust_core.threat_model import ThreatModel

MOMENTUM = 0.75  # weight of the new step against the last one

NumTargets = Annotated[
    int, Field(ge=1, le=1000, description="Target classes to try, the most likely ones first.")
]


@ATTACKS.register("apgd")
class APGD(Attack):
    """Auto-PGD; returns an adversarial iterate if one was found, else the one of highest loss.

    x' = project(x_t + step * direction) and then
    x_{t+1} = project(x_t + 0.75 (x' - x_t) + 0.25 (x_t - x_{t-1})). The step starts at 2 epsilon;
    at checkpoints it is halved, and the search goes back to the best point, where the loss rose in
    too few steps (`rho`) or has not improved.

    With `targeted_dlr` the loss is steered at the `num_targets` most likely wrong classes in turn
    (APGD-T): any wrong prediction wins.

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
    Diverse Parameter-Free Attacks", ICML 2020, arXiv:2003.01690, algorithm 1 and section 4.
    Difference: an image leaves the search as soon as it is fooled.
    """

    title: ClassVar[str] = "APGD"
    presets: ClassVar[tuple[AttackPreset, ...]] = (
        AttackPreset("APGD", 60, {"loss": "cross_entropy"}),
        AttackPreset("APGD, targeted DLR", 70, {"loss": "targeted_dlr"}),
    )

    searches_low_precision: ClassVar[bool] = True

    loss: Annotated[
        Literal["cross_entropy", "dlr", "targeted_dlr", "margin"],
        Field(
            description="Loss to maximise; targeted_dlr tries one target class after another "
            "(APGD-T)."
        ),
    ] = "cross_entropy"
    num_steps: NumSteps = 100
    num_restarts: NumRestarts = 1
    num_targets: NumTargets = 9
    rho: Annotated[
        float,
        Field(
            gt=0.0,
            le=1.0,
            description="Step size is halved if fewer than this share of "
            "steps increase the loss (rho).",
        ),
    ] = 0.75
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Run every restart, and for APGD-T every target class, on the images still remaining."""
        generator = torch.Generator().manual_seed(self.seed)
        steered = self.loss == "targeted_dlr" and target is None
        num_targets = 1
        if steered:
            num_classes = predict_logits(model, x[:1]).shape[1]
            num_targets = min(self.num_targets, num_classes - 1)

        def attack_once(number: int, x: Tensor, criterion: Criterion) -> Tensor:
            if steered:
                ranked = likely_wrong_classes(predict_logits(model, x), criterion.y)
                criterion = replace(criterion, towards=ranked[:, number % num_targets])
            return auto_pgd(
                model,
                x,
                criterion,
                self.threat_model,
                x_start=self.threat_model.random_start(x, generator),
                num_steps=self.num_steps,
                rho=self.rho,
                eot_samples=self.eot_samples,
                on_step=on_step,
                restart=number,
            )

        return best_of_rounds(
            attack_once,
            model,
            x,
            Criterion("dlr" if self.loss == "targeted_dlr" else self.loss, y, target),
            num_rounds=self.num_restarts * num_targets,
            eot_samples=self.eot_samples,
        )

    def passes(self) -> int:
        """Return (num_steps + 1) * num_restarts * eot_samples, times the number of targets."""
        rounds = self.num_restarts * (self.num_targets if self.loss == "targeted_dlr" else 1)
        return (self.num_steps + 1) * rounds * self.eot_samples


def likely_wrong_classes(logits: Tensor, y: Tensor) -> Tensor:
    """Return the classes other than y, most likely first: [N,K], [N] -> int64 [N,K-1]."""
    others = logits.scatter(1, y[:, None], float("-inf"))
    return others.argsort(dim=1, descending=True)[:, :-1]


@dataclass
class _Search:
    """The images still searched, one row each."""

    index: Tensor  # position in the batch [M]
    x: Tensor
    x_adv: Tensor
    x_before: Tensor
    gradient: Tensor
    step_size: Tensor  # [M,1,1,1], pixel units
    loss: Tensor  # at x_adv
    x_best: Tensor
    gradient_best: Tensor
    loss_best: Tensor
    loss_at_check: Tensor  # loss_best at the last checkpoint
    reduced: Tensor  # bool, step halved at the last checkpoint
    rises: Tensor  # steps since then that raised the loss

    def select(self, keep: Tensor) -> "_Search":
        return _Search(*(getattr(self, field.name)[keep] for field in fields(self)))


def auto_pgd(
    model: nn.Module,
    x: Tensor,
    criterion: Criterion,
    threat_model: ThreatModel,
    *,
    x_start: Tensor,
    num_steps: int,
    rho: float,
    eot_samples: int,
    on_step: OnStep | None,
    restart: int,
) -> Tensor:
    """Return the result of one start of Auto-PGD, [N,C,H,W] in [0, 1]; see `APGD`.

    Args:
        model: the attacked model, in eval mode.
        x: clean images [N,C,H,W] in [0, 1].
        criterion: loss to ascend and rule of success.
        threat_model: limits of the perturbation.
        x_start: first iterate [N,C,H,W], within the threat model.
        num_steps: gradient steps.
        rho: share of steps that must raise the loss between checkpoints.
        eot_samples: forward passes averaged for every gradient and decision.
        on_step: called with every iterate of the images still searched.
        restart: number that the steps carry.
    """
    result = x.clone()
    search = _begin(x, x_start, threat_model.epsilon)
    window, since_check = max(int(0.22 * num_steps), 1), 0
    for step in range(num_steps + 1):
        at = input_gradient(model, search.x_adv, criterion, eot_samples=eot_samples)
        if on_step is not None:
            on_step(AttackStep(step, search.x_adv, at.loss, at.logits, restart))
        _note(search, at.gradient, at.loss)
        fooled = criterion.fooled(model, search.x_adv, at.logits, eot_samples=eot_samples)
        if bool(fooled.any()):
            result[search.index[fooled]] = search.x_adv[fooled]
            search, criterion = search.select(~fooled), criterion.select(~fooled)
        if len(search.index) == 0 or step == num_steps:
            break
        if since_check == window:
            _check_progress(search, window, rho)
            window = max(window - max(int(0.03 * num_steps), 1), int(0.06 * num_steps), 1)
            since_check = 0
        _step(search, threat_model, momentum=1.0 - MOMENTUM if step > 0 else 0.0)
        since_check += 1
    result[search.index] = search.x_best
    return result


def _begin(x: Tensor, x_start: Tensor, epsilon: float) -> _Search:
    unknown = torch.full((len(x),), float("-inf"), device=x.device)
    return _Search(
        index=torch.arange(len(x), device=x.device),
        x=x,
        x_adv=x_start,
        x_before=x_start,
        gradient=torch.zeros_like(x),
        step_size=torch.full((len(x), 1, 1, 1), 2.0 * epsilon, device=x.device),
        loss=unknown,
        x_best=x_start.clone(),
        gradient_best=torch.zeros_like(x),
        loss_best=unknown.clone(),
        loss_at_check=unknown.clone(),
        reduced=torch.ones(len(x), dtype=torch.bool, device=x.device),
        rises=torch.full((len(x),), -1, device=x.device),  # the start itself is no rise
    )


def _note(search: _Search, gradient: Tensor, loss: Tensor) -> None:
    """Enter what was found at x_adv: gradient, loss, whether it is a rise and whether the best."""
    search.gradient = gradient
    search.rises = search.rises + (loss > search.loss)
    search.loss = loss
    better = loss > search.loss_best
    search.x_best = torch.where(better.view(-1, 1, 1, 1), search.x_adv, search.x_best)
    search.gradient_best = torch.where(better.view(-1, 1, 1, 1), gradient, search.gradient_best)
    search.loss_best = torch.where(better, loss, search.loss_best)


def _check_progress(search: _Search, window: int, rho: float) -> None:
    """Halve the step and return to the best point where progress was too slow."""
    too_few_rises = search.rises <= rho * window
    no_better = ~search.reduced & (search.loss_at_check >= search.loss_best)
    slow = too_few_rises | no_better
    here = slow.view(-1, 1, 1, 1)
    search.step_size = torch.where(here, search.step_size / 2, search.step_size)
    search.x_adv = torch.where(here, search.x_best, search.x_adv)
    search.gradient = torch.where(here, search.gradient_best, search.gradient)
    search.reduced, search.loss_at_check = slow, search.loss_best.clone()
    search.rises = torch.zeros_like(search.rises)


def _step(search: _Search, threat_model: ThreatModel, momentum: float) -> None:
    direction = threat_model.ascent_direction(search.gradient)
    x_new = threat_model.project(search.x_adv + search.step_size * direction, search.x)
    inertia = momentum * (search.x_adv - search.x_before)
    x_new = search.x_adv + (1.0 - momentum) * (x_new - search.x_adv) + inertia
    search.x_before = search.x_adv
    search.x_adv = threat_model.project(x_new, search.x)
