"""The L2 attack of Carlini and Wagner, with binary search over the constant."""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import (
    ATTACKS,
    Attack,
    AttackStep,
    EotSamples,
    NumSteps,
    OnStep,
)
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.gradients import finite, input_gradient
from robust_core.inference.wrappers import averaged
from robust_core.losses import margin
from robust_core.threat_model import Epsilon, Norm

SHRINK = 0.999999  # keeps arctanh finite at the walls of the box


@ATTACKS.register("cw")
class CarliniWagner(Attack):
    """Minimise ||x_adv - x||_2^2 + c * max(0, confidence - margin) over x_adv = (tanh(w) + 1) / 2.

    margin is max_{k != y} z_k - z_y, or z_t - max_{k != t} z_k towards a target. Adam runs on w;
    c is raised tenfold until the attack succeeds, then found by bisection.

    A minimum-norm attack: `epsilon` does not steer it, results are evaluated by their distance; the
    clean image is returned where nothing adversarial was met. With `eot_samples` the model is the
    mean of so many passes, in the margin and in what counts as adversarial.

    Source: Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", IEEE S&P
    2017, arXiv:1608.04644, section VI-A, with the released code's binary search and early abort.
    """

    title: ClassVar[str] = "CW"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("CW (L2 only)", 140),)

    minimum_norm: ClassVar[bool] = True

    norm: Annotated[Literal[Norm.L2], Field(description="L2 only.")] = Norm.L2
    epsilon: Epsilon = 0.5
    num_steps: NumSteps = 1000
    num_binary_searches: Annotated[
        int, Field(ge=1, le=20, description="Binary search steps over the constant c.")
    ] = 9
    learning_rate: Annotated[
        float, Field(gt=0.0, le=1.0, description="Learning rate of Adam in tanh space.")
    ] = 0.01
    initial_constant: Annotated[float, Field(gt=0.0, le=1e6, description="Initial value of c.")] = (
        1e-3
    )
    confidence: Annotated[
        float,
        Field(
            ge=0.0,
            le=100.0,
            description="Logit margin required of an adversarial example (confidence kappa).",
        ),
    ] = 0.0
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Search c for every image; keep its nearest adversarial image."""
        model = averaged(model, self.eot_samples)
        best, best_distance = x.clone(), torch.full((len(x),), torch.inf, device=x.device)
        constant = torch.full((len(x),), self.initial_constant, device=x.device)
        lower, upper = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
        criterion = Criterion("margin", y, target)
        for search in range(self.num_binary_searches):
            nearest, distance = self._descend(model, x, criterion, constant, on_step, search)
            nearer = distance < best_distance
            best = torch.where(nearer.view(-1, 1, 1, 1), nearest, best)
            best_distance = torch.where(nearer, distance, best_distance)
            found = distance < torch.inf
            upper = torch.where(found, constant, upper)
            lower = torch.where(found, lower, constant)
            constant = torch.where(upper < torch.inf, (lower + upper) / 2, constant * 10)
        return best

    def _descend(
        self,
        model: nn.Module,
        x: Tensor,
        criterion: Criterion,
        constant: Tensor,
        on_step: OnStep | None,
        search: int,
    ) -> tuple[Tensor, Tensor]:
        """Return the nearest adversarial images for these c, and their distances or inf."""
        towards_label = 1.0 if criterion.target is None else -1.0
        classes = criterion.y if criterion.target is None else criterion.target
        origin = torch.atanh((2 * x - 1) * SHRINK)
        centre = (torch.tanh(origin) + 1) / 2
        w = origin.clone()
        optimiser = torch.optim.Adam([w], lr=self.learning_rate)
        nearest, distance = x.clone(), torch.full((len(x),), torch.inf, device=x.device)
        check_every = -(-self.num_steps // 10)
        loss_at_check = torch.full((len(x),), torch.inf, device=x.device)

        def hinge(logits: Tensor) -> Tensor:
            return constant * F.relu(self.confidence - towards_label * margin(logits, classes))

        for step in range(self.num_steps):
            x_adv = (torch.tanh(w) + 1) / 2
            at = input_gradient(model, x_adv, hinge)
            if on_step is not None:
                on_step(AttackStep(step, x_adv, criterion(at.logits), at.logits, search))
            delta = x_adv - centre
            length = (x_adv - x).flatten(1).norm(dim=1)
            fooled = towards_label * margin(at.logits, classes) > self.confidence
            nearer = fooled & (length < distance)
            nearest = torch.where(nearer.view(-1, 1, 1, 1), x_adv, nearest)
            distance = torch.where(nearer, length, distance)
            if step % check_every == 0:
                loss = at.loss + delta.flatten(1).square().sum(dim=1)
                if not bool((loss <= 0.9999 * loss_at_check).any()):
                    break  # no image has made progress
                loss_at_check = loss
            gradient = finite(at.gradient) + 2 * delta
            slope = gradient * 2 * x_adv * (1 - x_adv)  # dx/dw = 2 x (1 - x)
            w.grad = slope
            optimiser.step()
        return nearest, distance

    def passes(self) -> int:
        """Return num_steps * num_binary_searches * eot_samples; less where searches abort early."""
        return self.num_steps * self.num_binary_searches * self.eot_samples
