"""Spatial attack: rotations and translations, on a grid."""

import math
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, Attack, AttackStep, EotSamples, OnStep
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.gradients import predict_logits
from robust_core.threat_model import Norm


@ATTACKS.register("spatial")
class Spatial(Attack):
    """Rotate and shift the image by every combination of a grid; keep the highest loss.

    Pixels may change by any amount, so the threat model is the whole box (Linf, epsilon 1): what
    bounds the attacker is the angle and the shift. What moves in from outside is black.

    Source: Engstrom, Tran, Tsipras, Schmidt and Madry, "Exploring the Landscape of Spatial
    Robustness", ICML 2019, arXiv:1712.02779, section 3.3 (grid search; 30 degrees, 3 pixels,
    5 values a shift and 31 angles for 32x32 images).
    """

    title: ClassVar[str] = "spatial"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("Spatial (turns and shifts)", 170),)

    gradient_free: ClassVar[bool] = True

    norm: Annotated[Literal[Norm.LINF], Field(description="Not used: pixels are free.")] = Norm.LINF
    epsilon: Annotated[Literal[1.0], Field(description="Not used: pixels are free.")] = 1.0  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride, reportInvalidTypeForm]
    largest_rotation: Annotated[
        float,
        Field(ge=0.0, le=180.0, description="Maximum rotation in either direction, in degrees."),
    ] = 30.0
    largest_shift: Annotated[
        float,
        Field(
            ge=0.0,
            le=100.0,
            description="Maximum shift in either direction along each axis, in pixels.",
        ),
    ] = 3.0
    num_rotations: Annotated[int, Field(ge=1, le=361, description="Angles in the grid search.")] = (
        31
    )
    num_shifts: Annotated[
        int, Field(ge=1, le=101, description="Shifts per axis in the grid search.")
    ] = 5
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Try the whole grid, the smallest changes first, on the images still remaining."""
        criterion = Criterion("margin", y, target)
        result, index = x.clone(), torch.arange(len(x), device=x.device)
        loss_best = torch.full((len(x),), -torch.inf, device=x.device)
        for number, (angle, down, right) in enumerate(self._grid()):
            x_new = rotate_and_shift(x[index], angle, down, right)
            logits = predict_logits(model, x_new, eot_samples=self.eot_samples)
            loss = criterion(logits)
            if on_step is not None:
                on_step(AttackStep(number, x_new, loss, logits))
            fooled = criterion.is_met(logits)
            better = (loss > loss_best[index]) | fooled
            result[index[better]], loss_best[index[better]] = x_new[better], loss[better]
            index, criterion = index[~fooled], criterion.select(~fooled)
            if len(index) == 0:
                break
        return result

    def _grid(self) -> list[tuple[float, float, float]]:
        angles = _grid_values(self.largest_rotation, self.num_rotations)
        shifts = _grid_values(self.largest_shift, self.num_shifts)
        grid = [(angle, down, right) for angle in angles for down in shifts for right in shifts]
        return sorted(grid, key=lambda p: (p[0] / 30) ** 2 + (p[1] / 3) ** 2 + (p[2] / 3) ** 2)

    def passes(self) -> int:
        """Return the size of the grid times eot_samples; no pass goes backward."""
        return self.num_rotations * self.num_shifts**2 * self.eot_samples


def _grid_values(largest: float, count: int) -> list[float]:
    if count == 1:
        return [0.0]
    return [largest * (2 * i / (count - 1) - 1) for i in range(count)]


def rotate_and_shift(x: Tensor, angle: float, down: float, right: float) -> Tensor:
    """Return images rotated about their centres, then shifted: [N,C,H,W] -> [N,C,H,W].

    Args:
        x: images [N,C,H,W] in [0, 1].
        angle: degrees, counter-clockwise.
        down: pixels towards the bottom.
        right: pixels towards the right.
    """
    height, width = x.shape[2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=x.device) - (height - 1) / 2 - down,
        torch.arange(width, device=x.device) - (width - 1) / 2 - right,
        indexing="ij",
    )
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    source_columns = cosine * columns - sine * rows
    source_rows = sine * columns + cosine * rows
    grid = torch.stack(
        [source_columns * 2 / max(width - 1, 1), source_rows * 2 / max(height - 1, 1)], dim=-1
    )
    grid = grid.to(x).expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, mode="bilinear", align_corners=True).clamp(0.0, 1.0)
