"""Threat models: the norm and the maximum size (epsilon) of a perturbation."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from robust_core.errors import InputError
from robust_core.parameters import PIXEL_UNIT, Parameters


class Norm(StrEnum):
    """Norm of the perturbation x_adv - x, taken over all pixels of an image."""

    LINF = "Linf"
    L2 = "L2"

    def __repr__(self) -> str:
        return repr(self.value)  # messages say 'Linf', which is what a person writes


LARGEST_EPSILON = {Norm.LINF: 1.0, Norm.L2: 100.0}

Epsilon = Annotated[
    float,
    Field(
        ge=0.0,
        description="Maximum size of the perturbation (epsilon), in pixel units ([0, 1]).",
        json_schema_extra=PIXEL_UNIT,
    ),
]


@dataclass(frozen=True)
class ThreatModel:
    """The threat model ||x_adv - x|| <= epsilon with pixels in [0, 1].

    Args:
        norm: Linf or L2.
        epsilon: in pixel units, in [0, 1] for Linf and [0, 100] for L2.

    Raises:
        InputError: epsilon is out of range; names the likely meaning of 8 (8/255).
    """

    norm: Norm
    epsilon: float

    def __post_init__(self) -> None:
        largest = LARGEST_EPSILON[self.norm]
        if not 0.0 <= self.epsilon <= largest:
            levels = self.epsilon > 1 and (2 * self.epsilon).is_integer()  # 8 or 25.5 of 255
            hint = f" (did you mean {self.epsilon:g}/255?)" if levels else ""
            raise InputError(
                f"epsilon must be in [0, {largest:g}] for {self.norm}, got {self.epsilon:g}{hint}"
            )

    def distance(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Return ||x_adv - x|| for each image: [N,C,H,W], [N,C,H,W] -> [N]."""
        delta = (x_adv - x).flatten(1)
        if self.norm is Norm.LINF:
            return delta.abs().amax(dim=1)
        return delta.norm(dim=1)

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Return a points within the threat model and the box near `x_adv`: [N,C,H,W] -> [N,C,H,W].

        Linf: the nearest point. L2: radial projection, then clipping to [0, 1]; clipping moves
        every pixel towards the clean one, so the result stays within epsilon.
        """
        if self.norm is Norm.LINF:
            lower, upper = x - self.epsilon, x + self.epsilon
            return torch.minimum(torch.maximum(x_adv, lower), upper).clamp(0.0, 1.0)
        delta = x_adv - x
        length = _per_image(self.distance(x_adv, x)).clamp_min(1e-12)
        return (x + delta * (self.epsilon / length).clamp_max(1.0)).clamp(0.0, 1.0)

    def random_start(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a uniformly random point within epsilon, clipped to [0, 1]: [N,C,H,W].

        Args:
            x: clean images [N,C,H,W] in [0, 1].
            generator: CPU generator; the noise is drawn on the CPU, so that a seed means the same
                on every device. None uses torch's default generator.
        """
        if self.norm is Norm.LINF:
            noise = torch.rand(x.shape, generator=generator) * 2.0 - 1.0
            return (x + self.epsilon * noise.to(x)).clamp(0.0, 1.0)
        direction = torch.randn(x.shape, generator=generator)
        direction = direction / _per_image(direction.flatten(1).norm(dim=1)).clamp_min(1e-12)
        radius = torch.rand(len(x), generator=generator) ** (1.0 / x[0].numel())
        return (x + self.epsilon * (_per_image(radius) * direction).to(x)).clamp(0.0, 1.0)

    def ascent_direction(self, gradient: Tensor) -> Tensor:
        """Return the unit step that raises the linearised loss most: [N,C,H,W] -> [N,C,H,W].

        Linf: the sign. L2: the gradient over its norm; a zero gradient gives a zero step, and
        entries that are not finite count as zero.
        """
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        if self.norm is Norm.LINF:
            return gradient.sign()
        length = _per_image(gradient.flatten(1).norm(dim=1))
        return torch.where(length > 0, gradient / length.clamp_min(1e-30), 0.0)

    def multiples(self, factors: Sequence[float]) -> list[float]:
        """Return these multiples of epsilon, none above the largest that the norm allows."""
        largest = LARGEST_EPSILON[self.norm]
        return [min(factor * self.epsilon, largest) for factor in factors]

    def __str__(self) -> str:
        if self.norm is Norm.LINF:
            return f"{self.norm}, epsilon {self.epsilon * 255:.3g}/255"
        return f"{self.norm}, epsilon {self.epsilon:.3g}"


class ThreatModelParameters(Parameters):
    """Parameters of a threat model: norm and epsilon."""

    norm: Annotated[Norm, Field(description="Norm of the perturbation.")] = Norm.LINF
    epsilon: Epsilon = 8 / 255

    @model_validator(mode="after")
    def _check_radius(self) -> Self:
        _ = self.threat_model
        return self

    @property
    def threat_model(self) -> ThreatModel:
        """The threat model as an object that measures, projects and steps."""
        return ThreatModel(self.norm, self.epsilon)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
