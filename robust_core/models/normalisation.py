"""What a network subtracts from its pixels and divides them by, before its first layer."""

from typing import Annotated, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import Normalize

CENTRE = (0.5,)  # as mean and as std: pixels in [-1, 1]

Mean = Annotated[
    tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...],
    Field(
        description="Subtracted from the pixels, which are in [0, 1]: one number for all channels, "
        "or one for each. Other people's weights need what they were trained with.",
    ),
]
Std = Annotated[
    tuple[Annotated[float, Field(ge=0.001, le=100.0)], ...],
    Field(
        description="The pixels are divided by it after the subtraction: one number for all "
        "channels, or one for each.",
    ),
]
PerImage = Annotated[
    bool,
    Field(
        description="Use the mean and the standard deviation of each image itself instead of "
        "those above."
    ),
]
NORMALISATION_FIELDS = ("mean", "std", "per_image")


class NormalisationChoice(Protocol):
    """The parameters of an architecture that say how it normalises."""

    @property
    def mean(self) -> Mean:
        """What is subtracted."""
        ...

    @property
    def std(self) -> Std:
        """What the rest is divided by."""
        ...

    @property
    def per_image(self) -> PerImage:
        """Whether each image has its own mean and std."""
        ...


class NormalizeChannels(nn.Module):
    """(x - mean) / std, with constants for each channel that are no part of the state dict."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the first layer sees: [N,C,H,W] -> [N,C,H,W]."""
        return (x - self.mean) / self.std


class NormalizeImages(nn.Module):
    """(x - m) / max(s, 1 / sqrt(CHW)) with mean m and unbiased standard deviation s of each image.

    Source: the networks of Ding et al., "MMA Training", ICLR 2020, arXiv:1812.02637, as RobustBench
    runs them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return what the first layer sees: [N,C,H,W] -> [N,C,H,W]."""
        values = x.flatten(1)
        mean = values.mean(dim=1).view(-1, 1, 1, 1)
        least = values.shape[1] ** -0.5
        std = values.std(dim=1).clamp_min(least).view(-1, 1, 1, 1)
        return (x - mean) / std


NORMALISATIONS: tuple[type[nn.Module], ...] = (Normalize, NormalizeChannels, NormalizeImages)


def create_normalisation(choice: NormalisationChoice, channels: int) -> nn.Module:
    """Return the first part of a network for images of `channels` channels.

    Raises:
        InputError: neither one number nor one for each channel, or numbers that would not be used.
    """
    standard = (tuple(choice.mean), tuple(choice.std)) == (CENTRE, CENTRE)
    if choice.per_image:
        if not standard:
            raise InputError(
                "with per_image true, mean and std should be left out: each image has its own"
            )
        return NormalizeImages()
    return normalisation_layer(choice.mean, choice.std, channels)


def normalisation_layer(
    mean: tuple[float, ...], std: tuple[float, ...], channels: int
) -> Normalize | NormalizeChannels:
    """Return (x - mean) / std for images of `channels` channels.

    Raises:
        InputError: neither one number nor one for each channel.
    """
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            expected = "one number" + (f" or {channels}" if channels > 1 else "")
            raise InputError(
                f"{name} should have {expected} for images of {channels} "
                f"channel{'s' if channels > 1 else ''}, got {len(values)}"
            )
    standard = (tuple(mean), tuple(std)) == (CENTRE, CENTRE)
    return Normalize() if standard else NormalizeChannels(mean, std)
