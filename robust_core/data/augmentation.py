"""Random changes of training images that leave their class alone."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.registry import unknown_name

Augmentation = Literal["none", "shift", "crop_flip"]
Border = Literal["black", "grey", "reflect"]

SHIFT = 1 / 16  # of the image's side: 2 pixels of 32
CROP_PADDING = 1 / 8  # of the image's side: 4 pixels of 32


@dataclass(frozen=True)
class Change:
    """One draw of an augmentation: where each pixel of N changed images comes from.

    Calling it changes images [N,C,H,W]; gradients flow through.

    Attributes:
        rows: of the padded images, int64 [N,H]. columns: the same, [N,W].
        padding: pixels of one colour on every side.
        fill: that colour, in [0, 1].
    """

    rows: Tensor
    columns: Tensor
    padding: int = 0
    fill: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Return changed copies of images x [N,C,H,W]: -> [N,C,H,W]."""
        padded = F.pad(x, [self.padding] * 4, value=self.fill) if self.padding else x
        rows, columns = self.rows.to(x.device), self.columns.to(x.device)
        image = torch.arange(len(x), device=x.device)[:, None, None, None]
        channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
        return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]

    def tensor_split(self, number: int) -> list["Change"]:
        """Return the changes of `number` parts of the images, cut as `Tensor.tensor_split` cuts."""
        parts = zip(self.rows.tensor_split(number), self.columns.tensor_split(number), strict=True)
        return [Change(rows, columns, self.padding, self.fill) for rows, columns in parts]


def draw_change(
    name: Augmentation,
    shape: torch.Size,
    generator: torch.Generator | None = None,
    *,
    border: Border = "black",
) -> Change | None:
    """Return a random change of images of a shape [N,C,H,W], each with its own draw.

    "none": no change. "shift" moves an image by up to 2 pixels of 32 each way and repeats its edge.
    "crop_flip" pads with 4 pixels to 32, crops at random and mirrors half of the images left to
    right: the custom for CIFAR since Lee et al., "Deeply-Supervised Nets", AISTATS 2015,
    arXiv:1409.5185.

    Args:
        name: which change.
        shape: of the images.
        generator: CPU generator, so that a seed means the same on every device; None uses torch's
            default generator.
        border: what "crop_flip" pads with: black, mid-grey, or the image reflected at its edge.

    Raises:
        InputError: unknown name.
    """
    if name == "none":
        return None
    if name == "shift":
        rows, columns = _random_offsets(shape, _pixels(SHIFT, shape), generator)
        return Change(rows.clamp(0, shape[2] - 1), columns.clamp(0, shape[3] - 1))
    if name == "crop_flip":
        padding = _pixels(CROP_PADDING, shape)
        rows, columns = _random_offsets(shape, padding, generator)
        flip = torch.rand(shape[0], 1, generator=generator) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
        if border == "reflect":
            return Change(_reflected(rows, shape[2]), _reflected(columns, shape[3]))
        return Change(rows + padding, columns + padding, padding, 0.5 if border == "grey" else 0.0)
    raise unknown_name("augmentation", name, list(get_args(Augmentation)))


def _pixels(share: float, shape: torch.Size) -> int:
    return max(1, round(share * shape[2]))


def _random_offsets(
    shape: torch.Size, largest: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Rows [N,H] and columns [N,W] to read when every image moves by its own whole pixels."""
    num_images, _, height, width = shape
    move = torch.randint(-largest, largest + 1, (2, num_images, 1), generator=generator)
    return move[0] + torch.arange(height), move[1] + torch.arange(width)


def _reflected(position: Tensor, size: int) -> Tensor:
    """Positions beyond [0, size) counted back from the edge, which is not repeated."""
    position = position.abs()
    return torch.where(position < size, position, 2 * (size - 1) - position)


def rand_augment(x: Tensor) -> Tensor:
    """Return images [N,C,H,W] in [0, 1], C 1 or 3, each after random operations: same shape.

    Two of turning, shearing, moving, contrast, sharpness, posterising and the like, of magnitude 9
    of 30, on 256 levels, by torchvision; the draws come from torch's default generator. No
    gradient flows through.

    Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search
    Space", NeurIPS 2020, arXiv:1909.13719.
    """
    from torchvision.transforms.v2 import RandAugment  # noqa: PLC0415 - takes seconds to import

    operations = RandAugment(num_ops=2, magnitude=9)
    levels = (255 * x).round().to(device="cpu", dtype=torch.uint8)
    changed = torch.stack([operations(image) for image in levels])
    return changed.to(device=x.device, dtype=x.dtype) / 255
