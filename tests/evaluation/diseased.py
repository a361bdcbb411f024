"""Models made to deserve an alarm, and the subject of a check."""

import torch
from torch import Tensor

from robust_core.attacks.base import Attack, create_attack
from robust_core.evaluation.finding import Severity
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from tests.toys import LinearModel, middle_images

SHAPE = (1, 4, 4)


class Quantised(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 8).round() / 8)


class Quantise(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 8).round() / 8


class QuantisedPart(LinearModel):
    """The same model as `Quantised`, which says what masks its gradient."""

    masking_parts = ("quantise",)

    def __init__(self, shape):
        super().__init__(shape)
        self.quantise = Quantise()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.quantise(x))


class Probabilities(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class Sigmoid(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sigmoid()


class Noisy(LinearModel):
    stochastic = True

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.3 * torch.randn_like(x))


class Saturated(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return 1e4 * super().forward(x)


class NotFinite(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / torch.zeros(3)


class Once(Attack):
    """An attack that cannot average: it leaves every image as it is."""

    def perturb(self, model, x, y, target, on_step) -> Tensor:
        return x.clone()

    def passes(self) -> int:
        return 1


def subject_of(model, attack=None, *, num_images=40, **options) -> ReliabilityCase:
    x = middle_images(num_images, SHAPE)
    y = LinearModel(SHAPE)(x).argmax(1)
    attack = attack or create_attack("pgd", epsilon=0.1, num_steps=10)
    return ReliabilityCase(model, x, y, attack, effort=0.3, **options)


def severities(subject: ReliabilityCase) -> dict[str, Severity]:
    return {finding.name: finding.severity for finding in check_reliability(subject)}
