"""Pictures of any size: as large as a page needs them."""

import numpy as np
import torch

from app.ui.browser.gallery import LARGEST, thumbnail
from app.ui.pictures import picture_bytes, smaller
from robust_core.data.images import decode_image


def test_small_tiles_stay_and_large_ones_become_means_of_squares():
    small = np.random.default_rng(0).random((1, 2, 32, 20, 3), dtype=np.float32)
    assert smaller(small) is small
    tiles = np.arange(4 * 6, dtype=np.float32).reshape(1, 1, 4, 6)
    assert np.array_equal(smaller(tiles, 3)[0, 0], [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]])
    colour = np.random.default_rng(0).random((2, 3, 224, 150, 3), dtype=np.float32)
    found = smaller(colour, 96)
    assert found.shape == (2, 3, 74, 50, 3)
    np.testing.assert_allclose(found[1, 2, 5, 7], colour[1, 2, 15:18, 21:24].mean((0, 1)), 1e-5)


def test_a_download_enlarges_small_pictures_only():
    for side, shown in ((32, 4 * 34), (224, 226)):
        content = picture_bytes(np.full((1, 1, side, side, 1), 0.5, dtype=np.float32))
        found = decode_image(content, (1, shown, shown))
        assert found[0, 10, 10] == 128 / 255


def test_a_gallery_gets_pictures_of_the_size_that_it_shows():
    x = torch.rand((3, 224, 112), generator=torch.Generator().manual_seed(0))
    found = thumbnail(x)
    assert found.shape == (3, LARGEST, LARGEST // 2)
    torch.testing.assert_close(found.mean(), x.mean(), atol=5e-3, rtol=0)
    assert thumbnail(x[:, :32, :32]).shape == (3, 32, 32)
