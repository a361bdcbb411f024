"""Pictures made by a classifier's own gradient: a class from noise, a hole filled in.

A network whose gradients are perceptually aligned draws the class; another one finds noise that it
takes for it. So the pictures show what a model knows, and no robustness is measured by them.

Source: Santurkar et al., "Image Synthesis with a Single (Robust) Classifier", NeurIPS 2019,
arXiv:1906.09453, and the authors' notebooks.
"""

import torch
from torch import Tensor, nn

from robust_core.attacks.base import OnStep, check_images
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.projected_ascent import projected_ascent
from robust_core.errors import InputError
from robust_core.models.modes import evaluation_mode
from robust_core.threat_model import Norm, ThreatModel

RIDGE = 1e-4  # added to the diagonal of the covariance, as in the authors' notebooks


def class_seeds(x: Tensor, y: Tensor, classes: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one image from the Gaussian of each wanted class: -> [M,C,H,W] in [0, 1].

    mean_c + X_c^T z / sqrt(n_c - 1) + sqrt(1e-4) w with standard normal z, w, where the rows of X_c
    are the class's n_c images minus their mean: that has exactly the covariance of the images plus
    1e-4 times the identity, without ever forming it. The draw is clipped to [0, 1].

    Differences from the source: fitted on the images that are given (training images, say) at full
    resolution; theirs are test images, made four times smaller except for CIFAR.

    Args:
        x: images to fit [N,C,H,W] in [0, 1].
        y: their classes, int64 [N].
        classes: the wanted class of each draw, int64 [M].
        generator: CPU generator of the draws.

    Raises:
        InputError: a wanted class has fewer than two images.
    """
    draws = []
    for label in classes.tolist():
        members = x[y == label]
        if len(members) < 2:
            raise InputError(f"a seed needs two images of class {label}, got {len(members)}")
        mean = members.mean(dim=0)
        weights = torch.randn(len(members), generator=generator).to(x) / (len(members) - 1) ** 0.5
        noise = torch.randn(mean.shape, generator=generator).to(x)
        spread = torch.tensordot(weights, members - mean, dims=1)
        draws.append((mean + spread + RIDGE**0.5 * noise).clamp(0.0, 1.0))
    return torch.stack(draws)


def generate(
    model: nn.Module,
    seeds: Tensor,
    classes: Tensor,
    *,
    epsilon: float,
    step_size: float,
    num_steps: int,
    on_step: OnStep | None = None,
) -> Tensor:
    """Lead seeds towards their classes: [N,C,H,W] -> [N,C,H,W] in [0, 1].

    x_{t+1} = project(x_t + step_size * g / ||g||) with g the gradient of log p(class | x_t), in the
    L2 threat model around the seed.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits; used in eval mode, left unchanged.
        seeds: where to begin, in [0, 1].
        classes: the class that each is led to, int64 [N].
        epsilon: L2, in pixel units.
        step_size: L2 length of a step in pixel units.
        num_steps: number of steps.
        on_step: as for an attack.

    Raises:
        InputError: seeds outside [0, 1], or not one class for each.
    """
    everything = torch.ones(seeds.shape[-2:], dtype=torch.bool, device=seeds.device)
    return _lead(model, seeds, classes, everything, epsilon, step_size, num_steps, on_step)


def inpaint(
    model: nn.Module,
    x: Tensor,
    hole: Tensor,
    classes: Tensor,
    *,
    epsilon: float,
    step_size: float,
    num_steps: int,
    on_step: OnStep | None = None,
) -> Tensor:
    """Fill a hole in images so that they show their classes: [N,C,H,W] -> [N,C,H,W] in [0, 1].

    As `generate`, begun at `with_hole(x, hole)` and moving only the pixels of the hole. Difference
    from the source: it lowers cross-entropy + 10 times the mean squared change outside the hole;
    here what is outside cannot change at all.

    Args:
        model: as for `generate`.
        x: whole images in [0, 1]; nothing of what is in the hole is used.
        hole: pixels to fill, bool [H,W].
        classes: the class that each image is to show, int64 [N].
        epsilon: L2, in pixel units.
        step_size: L2 length of a step in pixel units.
        num_steps: number of steps.
        on_step: as for an attack.

    Raises:
        InputError: as for `generate`; or the hole has another size, or leaves nothing to see.
    """
    start = with_hole(x, hole)
    return _lead(model, start, classes, hole, epsilon, step_size, num_steps, on_step)


def hole_of(x: Tensor) -> Tensor:
    """Return the hole in the middle of images [...,H,W]: half of both sides, bool [H,W]."""
    height, width = x.shape[-2:]
    hole = torch.zeros(height, width, dtype=torch.bool)
    hole[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return hole


def with_hole(x: Tensor, hole: Tensor) -> Tensor:
    """Return images whose hole [H,W] has each channel's mean over the pixels that are left.

    [N,C,H,W] -> [N,C,H,W].

    Raises:
        InputError: the hole is no bool [H,W] of the images, or leaves nothing to see.
    """
    if hole.dtype != torch.bool or hole.shape != x.shape[-2:]:
        raise InputError(f"hole must be bool {list(x.shape[-2:])}, got {list(hole.shape)}")
    if bool(hole.all()):
        raise InputError("hole must leave a pixel to see, got all of them")
    mean = x[..., ~hole].mean(dim=-1)[..., None, None]
    return torch.where(hole, mean, x)


def _lead(
    model: nn.Module,
    start: Tensor,
    classes: Tensor,
    free: Tensor,
    epsilon: float,
    step_size: float,
    num_steps: int,
    on_step: OnStep | None,
) -> Tensor:
    """Ascend log p(class | x) by the pixels that are free [H,W]."""
    check_images(model, start, classes)
    threat_model = ThreatModel(Norm.L2, epsilon)
    with evaluation_mode(model):
        return projected_ascent(
            model,
            start,
            Criterion("cross_entropy", classes, classes),
            threat_model,
            x_start=start,
            step_size=step_size,
            num_steps=num_steps,
            ascent=lambda gradient: threat_model.ascent_direction(gradient * free),
            on_step=on_step,
        )
