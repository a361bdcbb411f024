"""The loss around one image, on a plane through it: a picture of masked gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust_core.attacks.base import check_images
from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.losses import cross_entropy, margin
from robust_core.models.modes import evaluation_mode
from robust_core.threat_model import Norm, ThreatModel

LARGEST_SIZE = 101


@dataclass(frozen=True)
class LossSurface:
    """Loss and prediction on a grid around an image, on the CPU.

    Attributes:
        steps: float32 [S], the coordinates of both axes from -1 to 1, in units of epsilon.
        margin: float32 [S,S], best wrong logit minus the label's, positive where the label has
            lost. Rows follow the random axis, columns the adversarial one.
        cross_entropy: float32 [S,S], in nats.
        prediction: int64 [S,S], the class predicted.
    """

    steps: Tensor
    margin: Tensor
    cross_entropy: Tensor
    prediction: Tensor


def loss_surface(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    direction: Tensor | None,
    threat_model: ThreatModel,
    *,
    size: int = 21,
    seed: int = 0,
    eot_samples: int = 1,
) -> LossSurface:
    """Return the loss at x + a d_1 + b d_2, clipped to [0, 1], for a and b on a grid over [-1, 1].

    d_1 is the given direction and d_2 a random one, orthogonal to it; both are as long as the
    radius, so that a = 1 lies on the sphere of the threat model. Away from the axes the grid
    reaches beyond it. A smooth hill along d_1 means that the gradient tells the truth; plateaus
    with cliffs, or noise, mean that it is masked.

    Source: the figures of Tramer, Kurakin, Papernot, Goodfellow, Boneh and McDaniel, "Ensemble
    Adversarial Training: Attacks and Defenses", ICLR 2018, arXiv:1705.07204 (x + a g + b h with g
    the signed gradient and h orthogonal to it), and of Qin et al., "Adversarial Robustness through
    Local Linearization", NeurIPS 2019, arXiv:1907.02610. Difference: h is random, the margin is
    shown beside cross-entropy, and both sides of the image are.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: one image [1,C,H,W] in [0, 1].
        y: its label [1].
        direction: [1,C,H,W], of any length but zero: x_adv - x, or the sign of the gradient. None
            draws a random one for this axis, too.
        threat_model: its epsilon is the unit of the axes. In Linf the random direction consists of
            signs, in L2 it is Gaussian.
        size: grid points a side, odd so that the image itself is one of them, 3 to 101.
        seed: of the random direction.
        eot_samples: passes whose mean logits count, for stochastic models.

    Raises:
        InputError: not one image; a direction that is zero or of another shape; an unfit size;
            outputs that are not finite.
    """
    check_images(model, x, y)
    if len(x) != 1:
        raise InputError(f"a loss surface needs exactly one image, got {len(x)}")
    if not 3 <= size <= LARGEST_SIZE or size % 2 == 0:
        raise InputError(f"size must be odd and from 3 to {LARGEST_SIZE}, got {size}")
    generator = torch.Generator().manual_seed(seed)
    if direction is None:
        direction = _random_direction(x, threat_model.norm, generator)
    if direction.shape != x.shape or not float(direction.abs().max()) > 0:
        raise InputError(
            f"the direction must be {list(x.shape)} and not zero, got {list(direction.shape)} of "
            f"largest entry {float(direction.abs().max()):g}"
        )
    other = _random_direction(x, threat_model.norm, generator)
    other = other - direction * ((other * direction).sum() / direction.square().sum())
    first, second = (_scaled(each, threat_model) for each in (direction, other))
    steps = torch.linspace(-1.0, 1.0, size)
    along = steps.to(x).view(-1, 1, 1, 1)
    plane = x + second * along[:, None] + first * along[None]  # [S,S,C,H,W]
    batch = plane.flatten(0, 1).clamp(0.0, 1.0)
    labels = y.expand(len(batch))
    with evaluation_mode(model):
        logits = predict_logits(model, batch, eot_samples=eot_samples)
    if not bool(torch.isfinite(logits).all()):
        raise InputError("the model's outputs around the image are not finite: no surface to show")
    grids = (margin(logits, labels), cross_entropy(logits, labels), logits.argmax(dim=1))
    return LossSurface(steps, *(grid.view(size, size).cpu() for grid in grids))


def _random_direction(x: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    direction = torch.randn(x.shape, generator=generator).to(x)
    return direction.sign() if norm is Norm.LINF else direction


def _scaled(direction: Tensor, threat_model: ThreatModel) -> Tensor:
    length = threat_model.distance(direction, torch.zeros_like(direction))
    return direction * (threat_model.epsilon / length).view(-1, 1, 1, 1)
