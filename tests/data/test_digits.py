import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from robust_core.data import load_data


def test_sizes_of_the_splits():
    sizes = {split: len(load_data("digits", split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 1257, "validation": 180, "test": 360}
    assert load_data("digits").y.bincount().tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]


def test_the_splits_together_are_the_original_digits():
    pixels, labels = (torch.from_numpy(np.asarray(part)) for part in load_digits(return_X_y=True))
    small = (pixels / 16).float().reshape(-1, 1, 8, 8)
    reference = F.interpolate(small, size=(32, 32), mode="bilinear").flatten(1)
    parts = [load_data("digits", split) for split in ("train", "validation", "test")]
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    nearest = torch.cdist(x.flatten(1), reference).argmin(dim=1)
    assert sorted(nearest.tolist()) == list(range(1797))
    assert torch.equal(labels[nearest], y)


def test_golden_pixels():
    images = load_data("digits")
    assert images.image_shape == (1, 32, 32)
    assert images.y[:10].tolist() == [5, 9, 2, 4, 6, 7, 9, 3, 4, 6]
    row = (images.x[0, 0, 16] * 255).round().int().tolist()
    assert row[:16] == [0, 0, 0, 0, 0, 0, 6, 17, 30, 49, 73, 94, 112, 130, 148, 157]
    assert row[16:] == [161, 165, 176, 193, 206, 207, 189, 160, 124, 86, 50, 28, 15, 6, 0, 0]
