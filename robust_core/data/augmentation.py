"""Random changes of training images that leave their class alone."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.registry import unknown_name

Augmentation = Literal["none", "shift", "crop_flip"]

SHIFT = 1 / 16  # of the image's side: 2 pixels of 32
CROP_PADDING = 1 / 8  # of the image's side: 4 pixels of 32


def augment(name: Augmentation, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return a randomly changed copy of every image: [N,C,H,W] -> [N,C,H,W], each its own draw.

    "none" returns `x` itself. "shift" moves an image by up to 2 pixels of 32 each way and repeats
    its edge. "crop_flip" pads with 4 black pixels to 32, crops at random and mirrors half of the
    images left to right: the custom for CIFAR since Lee et al., "Deeply-Supervised Nets", AISTATS
    2015, arXiv:1409.5185.

    Args:
        name: which change.
        x: images [N,C,H,W]; not modified.
        generator: CPU generator, so that a seed means the same on every device; None uses torch's
            default generator.

    Raises:
        InputError: unknown name.
    """
    if name == "none":
        return x
    if name == "shift":
        rows, columns = _random_offsets(x, _pixels(SHIFT, x), generator)
        return _gather(x, rows.clamp(0, x.shape[2] - 1), columns.clamp(0, x.shape[3] - 1))
    if name == "crop_flip":
        padding = _pixels(CROP_PADDING, x)
        rows, columns = _random_offsets(x, padding, generator)
        flip = torch.rand(len(x), 1, generator=generator) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
        padded = F.pad(x, [padding] * 4)
        return _gather(padded, rows + padding, columns + padding)
    raise unknown_name("augmentation", name, list(get_args(Augmentation)))


def _pixels(share: float, x: Tensor) -> int:
    return max(1, round(share * x.shape[2]))


def _random_offsets(
    x: Tensor, largest: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Rows [N,H] and columns [N,W] to read when every image moves by its own whole pixels."""
    num_images, _, height, width = x.shape
    move = torch.randint(-largest, largest + 1, (2, num_images, 1), generator=generator)
    return move[0] + torch.arange(height), move[1] + torch.arange(width)


def _gather(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Read x [N,C,*,*] at rows [N,H] and columns [N,W]: -> [N,C,H,W]."""
    rows, columns = rows.to(x.device), columns.to(x.device)
    image = torch.arange(len(x), device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return x[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
