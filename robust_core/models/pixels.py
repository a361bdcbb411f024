"""What happens to images in [0, 1] before a network from elsewhere sees them."""

from dataclasses import dataclass
from typing import Annotated, Protocol, Self

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.models.normalisation import normalisation_layer

InputSize = Annotated[
    int | None,
    Field(
        ge=8,
        le=1024,
        description="Side in pixels to which images are resized inside the network; automatic: "
        "they come as they are.",
    ),
]


class PixelValues(Protocol):
    """Parameters of a network that say what it wants its images to be like."""

    @property
    def mean(self) -> tuple[float, ...]:
        """What is subtracted."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """What the rest is divided by."""
        ...

    @property
    def input_size(self) -> int | None:
        """Side in pixels of the square to which images are resized; None: as they come."""
        ...


@dataclass(frozen=True)
class PixelForm:
    """What a module wants its images to be like.

    Attributes:
        mean, std: per channel, or one number for all, of pixels in [0, 1]; None: [0, 1] is right.
        size: side of the square to which they are resized; None: as they come.
        colour: a grey image is repeated on three channels.
        copy: the module writes to its input, so that it gets a copy.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = None
    colour: bool = False
    copy: bool = False

    @classmethod
    def of(cls, parameters: PixelValues, *, colour: bool) -> Self:
        """Return the form that the parameters of a network describe."""
        return cls(parameters.mean, parameters.std, parameters.input_size, colour=colour)


class Resize(nn.Module):
    """Bilinear interpolation to a square, smoothed where it shrinks: [N,C,H,W] -> [N,C,S,S]."""

    def __init__(self, size: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.size = (size, size)
        self.antialias = size < min(image_shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Return the resized images."""
        return F.interpolate(x, self.size, mode="bilinear", antialias=self.antialias)


class GreyAsColour(nn.Module):
    """The one channel three times: [N,1,H,W] -> [N,3,H,W]."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the repeated images."""
        return x.repeat(1, 3, 1, 1)


class Copy(nn.Module):
    """A copy that may be written to."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the copied images."""
        return x.clone()


def pixel_layers(form: PixelForm, image_shape: tuple[int, int, int]) -> nn.Sequential:
    """Return what turns images [N,C,H,W] in [0, 1] into what a module wants.

    Raises:
        InputError: as many means and standard deviations as there are no channels.
    """
    channels = 3 if form.colour else image_shape[0]
    layers: list[nn.Module] = []
    if form.size is not None and image_shape[1:] != (form.size, form.size):
        layers.append(Resize(form.size, image_shape))
    if form.colour:
        layers.append(GreyAsColour())
    if form.mean is not None and form.std is not None:
        layers.append(normalisation_layer(form.mean, form.std, channels))
    if form.copy and not layers:
        layers.append(Copy())
    return nn.Sequential(*layers)
