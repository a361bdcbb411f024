"""The one loop of every gradient attack with a budget."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robust_core.attacks.base import AttackStep, OnStep
from robust_core.attacks.criterion import Criterion
from robust_core.gradients import LossFunction, finite, input_gradient, predict_logits
from robust_core.threat_model import Norm, ThreatModel

Ascent = Callable[[Tensor], Tensor]  # gradient [N,C,H,W] -> step of unit length [N,C,H,W]


def projected_ascent(
    model: nn.Module,
    x: Tensor,
    loss_function: LossFunction,
    threat_model: ThreatModel,
    *,
    x_start: Tensor,
    step_size: float,
    num_steps: int,
    eot_samples: int = 1,
    ascent: Ascent | None = None,
    on_step: OnStep | None = None,
    restart: int = 0,
    stop_when_fooled: bool = False,
) -> Tensor:
    """Return the last iterate of projected gradient ascent, [N,C,H,W] in [0, 1], detached.

    x_{t+1} = project(x_t + step_size * ascent(gradient of loss at x_t)).

    Args:
        model: attacked as it is; the caller sees to eval mode.
        x: clean images [N,C,H,W] in [0, 1], the centre of the perturbations.
        loss_function: logits [N,K] -> loss [N], to be raised.
        threat_model: limits of the perturbation.
        x_start: where to begin, [N,C,H,W], within the threat model.
        step_size: length of a step in pixel units, in the norm of the threat model.
        num_steps: number of steps.
        eot_samples: forward passes averaged for every gradient.
        ascent: turns a gradient into a direction; None takes the steepest one for the norm.
        on_step: called with each of the num_steps + 1 iterates; costs one more forward pass.
        restart: number that the steps carry.
        stop_when_fooled: an image leaves the search at its first adversarial iterate, which is
            its result; the step's own forward pass shows it. Needs a `Criterion` and no `ascent`.
    """
    move = _Move(threat_model, x, step_size, ascent)
    x_adv = x_start.detach()
    result, index = x_adv, None
    for step in range(num_steps):
        at = input_gradient(model, x_adv, loss_function, eot_samples=eot_samples)
        if on_step is not None:
            on_step(AttackStep(step, x_adv, at.loss, at.logits, restart))
        gradient = at.gradient
        if stop_when_fooled:
            assert isinstance(loss_function, Criterion)
            fooled = loss_function.fooled(model, x_adv, at.logits, eot_samples=eot_samples)
            if bool(fooled.any()):
                if index is None:
                    result, index = x_adv.clone(), torch.arange(len(x), device=x.device)
                result[index[fooled]] = x_adv[fooled]
                keep = (~fooled).nonzero().squeeze(1)
                index, x_adv, gradient = index[keep], x_adv[keep], gradient[keep]
                move, loss_function = move.select(keep), loss_function.select(keep)
                if len(index) == 0:
                    return result
        x_adv = move(x_adv, gradient)
    if on_step is not None:
        logits = predict_logits(model, x_adv, eot_samples=eot_samples)
        on_step(AttackStep(num_steps, x_adv, loss_function(logits), logits, restart))
    if index is None:
        return x_adv
    result[index] = x_adv
    return result


class _Move:
    """One step: x_adv, gradient -> project(x_adv + step_size * ascent(gradient)).

    For Linf the steepest step is sign and clamp to bounds that do not change; these give the
    numbers of `ThreatModel` bit for bit, with a third of the passes over the images.
    """

    def __init__(
        self, threat_model: ThreatModel, x: Tensor, step_size: float, ascent: Ascent | None
    ) -> None:
        self.threat_model, self.x, self.step_size, self.ascent = threat_model, x, step_size, ascent
        self.is_box = threat_model.norm is Norm.LINF and ascent is None
        if self.is_box:
            self.lower = (x - threat_model.epsilon).clamp_(0.0, 1.0)
            self.upper = (x + threat_model.epsilon).clamp_(0.0, 1.0)

    def __call__(self, x_adv: Tensor, gradient: Tensor) -> Tensor:
        if self.is_box:
            direction = finite(gradient).sign_()
            return x_adv.add(direction, alpha=self.step_size).clamp_(self.lower, self.upper)
        ascent = self.ascent or self.threat_model.ascent_direction
        return self.threat_model.project(x_adv + self.step_size * ascent(gradient), self.x)

    def select(self, index: Tensor) -> "_Move":
        return _Move(self.threat_model, self.x[index], self.step_size, self.ascent)


AttackOnce = Callable[[int, Tensor, Criterion], Tensor]


def best_of_rounds(
    attack_once: AttackOnce,
    model: nn.Module,
    x: Tensor,
    criterion: Criterion,
    *,
    num_rounds: int,
    eot_samples: int = 1,
) -> Tensor:
    """Attack `num_rounds` times and keep each image's best result, [N,C,H,W].

    An image that is fooled is left out of later rounds; of any other image, the result with
    the highest loss is kept.

    Args:
        attack_once: (round, x, criterion) -> x_adv, called with the images still remaining.
        model: the attacked model, in eval mode.
        x: clean images [N,C,H,W] in [0, 1].
        criterion: what is wanted of these images.
        num_rounds: at least 1; with 1 the result of the only attack is returned as it is.
        eot_samples: forward passes averaged when a result is evaluated.
    """
    if num_rounds == 1:
        return attack_once(0, x, criterion)
    best, best_loss = x.clone(), torch.full((len(x),), float("-inf"), device=x.device)
    remaining = torch.arange(len(x), device=x.device)
    for number in range(num_rounds):
        current = criterion.select(remaining)
        x_adv = attack_once(number, x[remaining], current)
        logits = predict_logits(model, x_adv, eot_samples=eot_samples)
        loss, fooled = current(logits), current.is_met(logits)
        better = fooled | (loss > best_loss[remaining])
        best[remaining[better]] = x_adv[better]
        best_loss[remaining[better]] = loss[better]
        remaining = remaining[~fooled]
        if len(remaining) == 0:
            break
    return best
