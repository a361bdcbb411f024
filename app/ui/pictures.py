"""Pictures as arrays: mosaics, enlargement without smoothing, PNG; knows no streamlit."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
GAP = 2  # image pixels between two tiles
LARGEST_TILE = 96  # sides of a tile in a grid


def mosaic(tiles: Array) -> Array:
    """Return tiles [R,K,H,W] or [R,K,H,W,C] as one image [.,.] or [.,.,C], with NaN between."""
    rows, columns, height, width = tiles.shape[:4]
    shape = (rows * (height + GAP), columns * (width + GAP), *tiles.shape[4:])
    sheet = np.full(shape, np.nan, dtype=np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = tiles[row, column]
    return sheet


def enlarged(pixels: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return pixels [H,W,C] enlarged by a whole number without smoothing."""
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def smaller(tiles: Array, largest: int = LARGEST_TILE) -> Array:
    """Return tiles [R,K,H,W] or [R,K,H,W,C] whose sides are at most `largest` pixels.

    Each pixel is the mean of a square of the old ones; a rest at the rim is left out.
    """
    height, width = tiles.shape[2:4]
    factor = -(-max(height, width) // largest)
    if factor == 1:
        return tiles
    high, wide = height // factor, width // factor
    parts = tiles[:, :, : high * factor, : wide * factor].reshape(
        *tiles.shape[:2], high, factor, wide, factor, *tiles.shape[4:]
    )
    return parts.mean(axis=(3, 5))


def shown_pixels(x: Array, scale: int) -> NDArray[np.uint8]:
    """Return an image [C,H,W] in [0, 1] for `st.image`: enlarged, 8 bits, [H,W] or [H,W,3]."""
    levels = (255 * x.transpose(1, 2, 0)).round().astype(np.uint8)
    return enlarged(levels, scale).squeeze()


def picture_bytes(tiles: Array, scale: int = 4) -> bytes:
    """Return pictures [R,K,H,W,C] in [0, 1] as one PNG, enlarged without smoothing.

    Pictures that are large enough as they are, are not enlarged.
    """
    scale = 1 if tiles.shape[2] > LARGEST_TILE else scale
    sheet = np.nan_to_num(mosaic(tiles), nan=1.0)
    levels = (255 * sheet).round().clip(0, 255).astype(np.uint8)
    return png(enlarged(levels, scale).squeeze())


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels [H,W] or [H,W,3] as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
