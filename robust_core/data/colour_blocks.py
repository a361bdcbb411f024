"""The colour toy of CiiV: three black shapes on coloured blocks that give the class away.

After the released code: 64x64 pixels, shapes with a "radius" uniform in [15, 25],
blocks of 4x4 pixels, each pale red, green or blue. A block draws one number for each channel,
uniform in [0, 0.8] for the picture's own colour and in [0, 0.1] for the others; the largest wins
(the own colour does in 11/12 of the blocks); its channel is 1, the others 0.8. Shapes stand
upright and wholly within the picture.

Source: Tang, Tao and Zhang, "Adversarial Visual Robustness by Causal Intervention",
arXiv:2106.09534, released code.
"""

import numpy as np
from numpy.typing import NDArray

from robust_core.data.outlines import CLASS_NAMES, signed_distance

Array = NDArray[np.floating]

TOY_CLASSES = ("circle", "square", "triangle")
SIDE, BLOCK = 64, 4  # pixels
RADIUS = (15.0, 25.0)  # pixels
REACH = 1.05  # of the farthest corner, in radii
OWN, OTHER = 0.8, 0.1  # ends of the ranges that the channels draw from
PALE = 0.8  # value of the channels that lose
UPRIGHT = np.array([0.0, np.pi / 4, -np.pi / 2])  # radians, for a flat square, a triangle on a side
CHUNK = 250  # pictures drawn together


def draw_colour_blocks(
    num_images: int,
    confounding: float,
    seed: int | list[int],
    confounder: int | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Draw black shapes on coloured blocks.

    Args:
        num_images: N; the classes appear equally often (up to one image) in random order.
        confounding: probability that image i gets colour y_i instead of any colour.
        seed: of all choices; the same seed with another `confounding` changes only colours.
        confounder: the colour of all images; None: as `confounding` says.

    Returns:
        x uint8 [N,3,64,64], y int64 [N], and the dominant colour of each image, int64 [N]: red,
        green, blue.
    """
    generator = np.random.default_rng(seed)
    num_classes = len(TOY_CLASSES)
    y = generator.permutation(np.arange(num_images) % num_classes)
    radius = generator.uniform(*RADIUS, num_images)
    centre = generator.uniform(-1.0, 1.0, (num_images, 2)) * (
        SIDE / 2 - 1.0 - REACH * radius[:, None]
    )
    any_colour = generator.integers(0, num_classes, num_images)
    tied = generator.uniform(0, 1, num_images) < confounding
    colour = np.where(tied, y, any_colour)
    if confounder is not None:
        colour = np.full_like(colour, confounder)
    blocks = SIDE // BLOCK
    draws = generator.uniform(0, 1, (num_images, num_classes, blocks, blocks)).astype(np.float32)
    parts = [slice(start, start + CHUNK) for start in range(0, num_images, CHUNK)]
    x = [
        _paint(y[part], radius[part], centre[part], dominant_channel(draws[part], colour[part]))
        for part in parts
    ]
    return np.concatenate(x), y, colour


def dominant_channel(draws: Array, colour: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which channel wins each block: draws [N,3,B,B] in [0, 1], colours [N] -> [N,B,B]."""
    own = np.arange(draws.shape[1]) == colour[:, None]  # [N, 3]
    return (draws * np.where(own, OWN, OTHER)[:, :, None, None]).argmax(axis=1)


def _paint(
    y: NDArray[np.int64], radius: Array, centre: Array, winner: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Paint blocks [N,B,B] and, with soft edges, a black shape on them: uint8 [N,3,64,64]."""
    channel = np.arange(3)[:, None, None]
    blocks = np.where(winner[:, None] == channel, 1.0, PALE)
    picture = blocks.repeat(BLOCK, axis=2).repeat(BLOCK, axis=3)
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    row, column = np.broadcast_arrays(
        axis[:, None] - centre[:, 1, None, None], axis - centre[:, :1, None]
    )
    outline = np.array([CLASS_NAMES.index(name) for name in TOY_CLASSES])
    distance = signed_distance(
        outline[y], column, row, radius, UPRIGHT[y], np.zeros(len(y))
    )  # [N, H, W], negative inside
    picture *= 1.0 - (0.5 - distance).clip(0.0, 1.0)[:, None]
    return (picture * 255.0).round().astype(np.uint8)
