"""Retinotopic sampling: what an eye that fixates one place of an image tells the brain.

A view of an image is the mean of a few random binary samples of it. Every sample keeps all pixels
near the fixation centre and ever fewer away from it, and turns each kept pixel into 0 or 1 at
random. The parts are functions of their own; `RetinotopicSampler` puts them together.

Source: Tang, Tao and Zhang, "Adversarial Visual Robustness by Causal Intervention",
arXiv:2106.09534 (versions 1 and 2), and their released code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Version = Literal["v1", "v2"]
PixelGradient = Literal["native", "expected"]
CentreChoice = Literal["fixed", "grid", "random"]
Centre = tuple[float, float]  # column, row, in pixels from 0; the order of the released code

TAU = 1e-5  # how soft the pixel step is
GRID_SIZE = 9


@dataclass(frozen=True)
class Density:
    """How the share of kept pixels falls with the distance from the fixation centre.

    Attributes:
        offset: a, in pixels. exponent: p. threshold: T, in (0, 1].
    """

    offset: float = 10.0
    exponent: float = 0.3
    threshold: float = 0.9


def eccentricity(size: tuple[int, int], centre: Centre) -> Tensor:
    """Return each pixel's Euclidean distance from `centre`, in pixels: float32 [H,W].

    Args:
        size: (H, W).
        centre: (column, row), in pixels from 0.
    """
    height, width = size
    row = torch.arange(height, dtype=torch.float32)[:, None] - centre[1]
    column = torch.arange(width, dtype=torch.float32) - centre[0]
    return torch.hypot(*torch.broadcast_tensors(row, column))


def mask_density(size: tuple[int, int], centre: Centre, density: Density) -> Tensor:
    """Return m = ((D - d + a) / (D + a))^p, with d the eccentricity and D its maximum: [H,W].

    m is 1 at the centre. As in the released code the quotient is that of the numerator and its own
    maximum, which is D + a where the centre is a pixel.
    """
    distance = eccentricity(size, centre)
    closeness = distance.max() - distance + density.offset
    return (closeness / closeness.max()) ** density.exponent


def keep_probability(size: tuple[int, int], centre: Centre, density: Density) -> Tensor:
    """Return q = min(1, m + 1 - T), how often a pixel is kept: [H,W] in [0, 1]."""
    return (mask_density(size, centre, density) + 1.0 - density.threshold).clamp(0.0, 1.0)


def fovea_radius(size: tuple[int, int], centre: Centre, density: Density) -> float:
    """Return (1 - T^(1/p)) (D + a), in pixels: all pixels as near as this are always kept."""
    farthest = float(eccentricity(size, centre).max())
    share = 1.0 - density.threshold ** (1.0 / density.exponent)
    return share * (farthest + density.offset)


def sample_masks(
    size: tuple[int, int],
    centre: Centre,
    density: Density,
    num_masks: int,
    *,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return masks m + U > T with U uniform in [0, 1), a fresh one for each: bool [n,1,H,W].

    One mask serves a whole batch and all channels.
    """
    noise = torch.rand(num_masks, 1, *size, device=device, generator=generator)
    return mask_density(size, centre, density).to(device) + noise > density.threshold


def on_probability(x: Tensor, weight: float) -> Tensor:
    """Return P(b = 1) = clip((x + w) / (2 w), 0, 1) of pixel values `x` of any shape.

    Its derivative, 1 / (2 w) for |x| < w and 0 outside, is the exact mean of the derivative of the
    pixel step.
    """
    return ((x + weight) / (2.0 * weight)).clamp(0.0, 1.0)


class PixelStep(nn.Module):
    """b = s / (s + 1e-5) with s = relu(v): 0 up to v = 0, and nearly 1 above.

    v = x + w u is the pixel with its noise. The derivative of an active pixel, 1e-5 / (s + 1e-5)^2,
    is right but of little use: about 2e-5 as a rule and up to 1e5 where s is near 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, noisy: Tensor) -> Tensor:
        """Return the nearly binary values of noisy pixels: any shape, in [0, 1)."""
        active = self.relu(noisy)
        return active / (active + TAU)


@dataclass(frozen=True)
class Samples:
    """The samples of one view: binary [n,B,C,H,W] nearly 0 or 1, masks bool [n,1,H,W]."""

    binary: Tensor
    masks: Tensor

    @property
    def view(self) -> Tensor:
        """Mean of the masked samples, [B,C,H,W]; dropped pixels count as 0."""
        return (self.binary * self.masks[:, None]).mean(dim=0)

    @property
    def keep_ratio(self) -> Tensor:
        """z, the share of pixels that the masks keep: a scalar in [0, 1]."""
        return self.masks.float().mean()


class RetinotopicSampler(nn.Module):
    """Turns images into the samples of one view; random in train and in eval mode.

    v2 samples the image as it comes (normalised, for a network of C channels). v1 takes pixels in
    [0, 1], samples x (ON) and 1 - x (OFF) with noise of their own and one mask, for 2C channels.
    All of it is float32 (or float64 for such images), and stays so under autocast, which changes
    none of its operations: in half precision the gradient of the pixel step overflows near 0 and
    vanishes elsewhere.

    Attributes:
        version: "v1" or "v2".
        weight: w, the amplitude of the pixel noise u, uniform in (-w, w).
        num_samples: n, samples a view.
        gradient: "native", that of `PixelStep`; "expected", its exact mean, the derivative of
            `on_probability`. Outputs are the same.
        density: of the masks.
    """

    def __init__(
        self,
        version: Version = "v2",
        weight: float = 0.9,
        num_samples: int = 3,
        gradient: PixelGradient = "native",
        density: Density | None = None,
    ) -> None:
        super().__init__()
        self.version = version
        self.weight = weight
        self.num_samples = num_samples
        self.gradient = gradient
        self.density = density or Density()
        self.pixel_step = PixelStep()

    def forward(
        self, x: Tensor, centre: Centre, generator: torch.Generator | None = None
    ) -> Samples:
        """Return the samples of the view at `centre`, of fresh noise and masks.

        Args:
            x: images [B,C,H,W].
            centre: (column, row), in pixels from 0.
            generator: of the randomness, on the device of `x`; None: torch's default one.
        """
        x = x if x.dtype == torch.float64 else x.float()
        size = (x.shape[2], x.shape[3])
        masks = sample_masks(
            size, centre, self.density, self.num_samples, device=x.device, generator=generator
        )
        binary = self._sample_pixels(x, generator)
        if self.version == "v1":
            binary = torch.cat([binary, self._sample_pixels(1.0 - x, generator)], dim=2)
        return Samples(binary, masks)

    def _sample_pixels(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        shape = (self.num_samples, *x.shape)
        noise = torch.rand(shape, dtype=x.dtype, device=x.device, generator=generator)
        binary = self.pixel_step(x + self.weight * (2.0 * noise - 1.0))  # [n, B, C, H, W]
        if self.gradient == "native":
            return binary
        smooth = on_probability(x, self.weight)
        return binary.detach() + (smooth - smooth.detach())


def without_mean(view: Tensor) -> Tensor:
    """Return `view` minus the spatial mean of each image and channel, as in v1: [B,C,H,W]."""
    return view - view.mean(dim=(2, 3), keepdim=True)


def expected_view(x: Tensor, centre: Centre, weight: float, density: Density) -> Tensor:
    """Return the mean of all views of v2 at `centre`, q P(b = 1): [B,C,H,W] in [0, 1]."""
    size = (x.shape[2], x.shape[3])
    return keep_probability(size, centre, density).to(x) * on_probability(x, weight)


def grid_centres(size: tuple[int, int], margin: float) -> list[Centre]:
    """Return the nine fixed centres (column, row) in the order of the views of v2.

    Along a side of S pixels they are S // 2, r and S - r, with r = round(margin * S); view k takes
    column k // 3 and row k % 3 of these. With margin 1/6 these are the released lists for 32, 64
    and 84 pixels (16, 5, 27; 32, 11, 53; 42, 14, 70), and sensible places for any other size, such
    as 4, 1, 7 for 8 and 14, 5, 23 for 28; with margin 5/16 those of the colour toy (32, 20, 44 for
    64 pixels, released in another order).

    Args:
        size: (H, W).
        margin: distance from the border in shares of the side, in (0, 1/2].
    """
    height, width = size
    return [
        (column, row) for column in _along(width, margin) for row in _along(height, margin)
    ]  # the middle comes first


def choose_centres(
    choice: CentreChoice,
    size: tuple[int, int],
    margin: float,
    num_views: int,
    generator: torch.Generator | None = None,
) -> Sequence[Centre]:
    """Return the fixation centres of `num_views` views, (column, row) each.

    Args:
        choice: "fixed", the first of `grid_centres`, the image's middle before all; "grid", drawn
            from these for every view (v1); "random", whole numbers drawn uniformly between the
            outer ones, ends included (the option RC of v2).
        size: (H, W).
        margin: as for `grid_centres`.
        num_views: at most 9 where `choice` is "fixed".
        generator: of the draws; None: torch's default one on the CPU.
    """
    grid = grid_centres(size, margin)
    device = "cpu" if generator is None else generator.device
    if choice == "fixed":
        return grid[:num_views]
    if choice == "grid":
        drawn = torch.randint(len(grid), (num_views,), device=device, generator=generator).tolist()
        return [grid[number] for number in drawn]
    columns, rows = (
        torch.randint(low, high + 1, (num_views,), device=device, generator=generator).tolist()
        for _, low, high in (_along(side, margin) for side in reversed(size))
    )
    return list(zip(columns, rows, strict=True))


def _along(side: int, margin: float) -> tuple[int, int, int]:
    """Return the places of the centres along a side: the middle, the first and the last."""
    first = round(margin * side)
    return side // 2, first, side - first
