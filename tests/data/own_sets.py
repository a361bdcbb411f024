"""Data sets as people bring them: noisy outlines of random place, size, colour and texture."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from robust_core.data.images import encode_png

NAMES = ("disc", "square", "cross", "ring", "bars")


def draw_outlines(
    label: int, num_images: int, side: int, channels: int, seed: int = 0
) -> NDArray[np.uint8]:
    """Return images of one class, uint8 [N,side,side,C]."""
    generator = np.random.default_rng((seed, label))
    v, u = np.mgrid[0:side, 0:side] / (side - 1) * 2 - 1
    images = np.empty((num_images, side, side, channels))
    for image in images:
        x, y = (
            axis - shift
            for axis, shift in zip((u, v), generator.uniform(-0.3, 0.3, 2), strict=True)
        )
        mask = _outline(NAMES[label], x, y, generator.uniform(0.45, 0.65))
        low, high = generator.uniform(0.0, 0.45, channels), generator.uniform(0.55, 1.0, channels)
        if generator.random() < 0.5:
            low, high = high, low
        waves = np.sin(generator.uniform(3, 9) * (u + v * generator.uniform(-1, 1)))
        image[:] = np.where(mask[..., None], high, low) + 0.08 * waves[..., None]
    images += generator.normal(0, 0.05, images.shape)
    return (images.clip(0, 1) * 255).round().astype(np.uint8)


def _outline(name: str, x: NDArray, y: NDArray, size: float) -> NDArray[np.bool_]:
    match name:
        case "disc":
            return np.hypot(x, y) < size
        case "square":
            return np.maximum(abs(x), abs(y)) < size
        case "cross":
            inside = np.maximum(abs(x), abs(y)) < size
            return inside & (np.minimum(abs(x), abs(y)) < 0.3 * size)
        case "ring":
            return (np.hypot(x, y) < size) & (np.hypot(x, y) > 0.5 * size)
        case _:
            return (np.maximum(abs(x), abs(y)) < size) & (np.sin(9 / size * x) > 0)


def write_folder(path: Path, num_classes: int = 3, num_each: int = 140, side: int = 64) -> None:
    """Write pictures as <path>/<class>/<number>.png."""
    for label, name in enumerate(NAMES[:num_classes]):
        (path / name).mkdir(parents=True)
        images = torch.from_numpy(draw_outlines(label, num_each, side, 3)).permute(0, 3, 1, 2) / 255
        for number, x in enumerate(images):
            (path / name / f"{number:03}.png").write_bytes(encode_png(x))


def write_npz(path: Path, num_images: int = 600, num_classes: int = 5, side: int = 28) -> None:
    """Write grey images sorted by class, a fifth of them for the test."""
    each = num_images // num_classes
    cut = each // 5
    drawn = [draw_outlines(label, each, side, 1)[..., 0] for label in range(num_classes)]
    parts = {"train": [x[cut:] for x in drawn], "test": [x[:cut] for x in drawn]}
    arrays = {}
    for part, images in parts.items():
        arrays[f"x_{part}"] = np.concatenate(images)
        arrays[f"y_{part}"] = np.repeat(np.arange(num_classes), len(images[0]))
    np.savez(path, **arrays)
