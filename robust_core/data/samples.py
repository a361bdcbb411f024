"""Real pictures that ship with the package Foolbox: 20 of each of five test sets, as files.

The package itself is never imported.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robust_core.data.base import DATA, DataSource, StoredImages
from robust_core.data.imagenet_names import IMAGENET_NAMES
from robust_core.errors import InputError
from robust_core.paths import package_folder
from robust_core.threat_model import Norm, ThreatModel

NUM_SAMPLES = 20
SIDE, CROP = 224, 0.875  # of a photograph: pixels, and the part of its shorter side that is seen
MISSING = (
    "the pictures that ship with Foolbox are not on this machine: install them with "
    "pip install foolbox"
)

Picture = Image.Image


class ImageNetSamples(DataSource):
    """20 photographs of ImageNet's validation set, which Foolbox ships; there is no training set.

    Each is cut to the central square of 0.875 of its shorter side and brought to 224x224 (bicubic),
    as the networks for ImageNet expect; a class may occur twice, and most of the 1,000 never do. 20
    images show effects and support no claim.

    Source: Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015,
    arXiv:1409.0575; Rauber et al., "Foolbox Native", JOSS 2020 (the pictures).
    """

    name = "imagenet_samples"
    title = "ImageNet samples (20 photographs that ship with Foolbox, 3×224×224)"
    threat_model = ThreatModel(Norm.LINF, 2 / 255)
    splits = ("test",)

    def is_available(self, root: Path | None = None) -> bool:
        """Return whether Foolbox is installed."""
        return samples_are_here()

    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the photographs; `root` is not needed.

        Raises:
            InputError: Foolbox is not installed, or without its pictures.
        """
        note = f"{NUM_SAMPLES} photographs show effects and support no claim"
        return StoredImages(*read_samples("imagenet", photograph=True), IMAGENET_NAMES, (note,))


DATA.register("imagenet_samples")(ImageNetSamples())


def samples_are_here() -> bool:
    """Return whether Foolbox's pictures are installed."""
    folder = package_folder("foolbox")
    return folder is not None and (folder / "data").is_dir()


def read_samples(
    prefix: str, *, photograph: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return Foolbox's 20 pictures of a set: x uint8 [20,C,H,W], y int64 [20].

    Its files are called "cifar10_00_3.png": set, number, label. They are the first images of the
    test sets of MNIST, Fashion-MNIST and CIFAR, in their order.

    Args:
        prefix: what Foolbox calls the set.
        photograph: cut and resize, as of ImageNet.

    Raises:
        InputError: they are not installed, not all there, or damaged.
    """
    folder = package_folder("foolbox")
    files = [] if folder is None else sorted((folder / "data").glob(f"{prefix}_[0-9][0-9]_*.*"))
    if len(files) != NUM_SAMPLES:
        raise InputError(MISSING)
    try:
        pixels = [_pixels(path, photograph) for path in files]
        labels = [int(path.stem.rpartition("_")[2]) for path in files]
    except (OSError, ValueError) as error:
        raise InputError(f"a picture that ships with Foolbox cannot be read: {error}") from None
    return np.stack(pixels), np.array(labels, dtype=np.int64)


def _pixels(path: Path, photograph: bool) -> NDArray[np.uint8]:
    """Return a picture, uint8 [C,H,W]."""
    with Image.open(path, formats=("PNG", "JPEG")) as file:
        picture = _cut(file.convert("RGB")) if photograph else file
        pixels = np.array(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _cut(picture: Picture) -> Picture:
    side = CROP * min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    box = (left, top, left + side, top + side)
    return picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
