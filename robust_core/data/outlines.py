"""Outlines of the ten shapes as signed distances, from which soft edges follow.

Distances after Quilez, "2D distance functions", iquilezles.org/articles/distfunctions2d.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

LOOK_ALIKE_PAIRS = (
    ("circle", "ellipse"),
    ("square", "rhombus"),
    ("triangle", "arrowhead"),
    ("pentagon", "hexagon"),
    ("five-pointed star", "six-pointed star"),
)
CLASS_NAMES = tuple(name for pair in LOOK_ALIKE_PAIRS for name in pair)

ELLIPSE_ASPECT = (0.52, 0.68)  # short over long axis
RHOMBUS_ASPECT = (0.5, 0.66)  # short over long diagonal
CORNER_RADIUS = 0.5  # pixels


def _regular(num_corners: int, size: float) -> Array:
    angle = 2 * np.pi * np.arange(num_corners) / num_corners
    return size * np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def _star(num_points: int, size: float, depth: float) -> Array:
    corners = _regular(2 * num_points, size)
    corners[1::2] *= depth
    return corners


# corners within the unit circle; the circle and the ellipse have none
CORNERS: dict[str, Array] = {
    "square": _regular(4, 0.98),
    "rhombus": _regular(4, 1.1),
    "triangle": _regular(3, 1.05),
    "arrowhead": np.insert(_regular(3, 1.05), 2, [-0.08, 0.0], axis=0),
    "pentagon": _regular(5, 0.96),
    "hexagon": _regular(6, 0.94),
    "five-pointed star": _star(5, 1.08, 0.45),
    "six-pointed star": _star(6, 1.04, 0.56),
}
CIRCLE_RADIUS, ELLIPSE_RADIUS = 0.86, 1.02


def signed_distance(
    y: NDArray[np.int64], column: Array, row: Array, radius: Array, angle: Array, aspect: Array
) -> Array:
    """Return how far each pixel is from the outline of its shape, negative inside.

    Args:
        y: classes [N].
        column: pixel positions from the shape's centre, [N,H,W], in pixels.
        row: the same, downwards.
        radius: of the circle that (nearly) holds the shape, [N], in pixels.
        angle: of rotation, [N], in radians.
        aspect: [N] in [0, 1], where in its class's range the proportions of a stretched shape lie.

    Returns:
        Distances [N,H,W] in pixels.
    """
    distance = np.empty(column.shape, dtype=np.float32)
    for label in np.unique(y):
        chosen = np.flatnonzero(y == label)
        name = CLASS_NAMES[label]
        turn, size = angle[chosen], radius[chosen]
        stretch = _stretch(name, aspect[chosen])
        points = column[chosen], row[chosen]
        if name in CORNERS:
            corners = _place(CORNERS[name], stretch, turn, size)
            distance[chosen] = _polygon_distance(*points, corners) - CORNER_RADIUS
        else:
            long = size * (CIRCLE_RADIUS if name == "circle" else ELLIPSE_RADIUS)
            distance[chosen] = _ellipse_distance(*points, turn, long, long * stretch)
    return distance


def _stretch(name: str, aspect: Array) -> Array:
    """Short over long side of each shape: [N] -> [N]."""
    low, high = {"ellipse": ELLIPSE_ASPECT, "rhombus": RHOMBUS_ASPECT}.get(name, (1.0, 1.0))
    return low + (high - low) * aspect


def _place(corners: Array, stretch: Array, angle: Array, size: Array) -> Array:
    """Stretch, turn and enlarge one outline N times: [V,2], [N], [N], [N] -> [V,2,N,1,1]."""
    across, along = corners[:, :1], corners[:, 1:] * stretch  # [V, 1], [V, N]
    sine, cosine = np.sin(angle), np.cos(angle)
    placed = np.stack([across * cosine - along * sine, across * sine + along * cosine], axis=1)
    return (size * placed)[..., None, None]


def _polygon_distance(column: Array, row: Array, corners: Array) -> Array:
    """Distance to a closed polygon: [N,H,W], [N,H,W], [V,2,N,1,1] -> [N,H,W], negative inside."""
    nearest = np.full(column.shape, np.inf, dtype=np.float32)
    inside = np.zeros(column.shape, dtype=bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge_x, edge_y = end - start
        from_x, from_y = column - start[0], row - start[1]
        length = edge_x * edge_x + edge_y * edge_y
        along = ((from_x * edge_x + from_y * edge_y) / length).clip(0.0, 1.0)
        off_x, off_y = from_x - edge_x * along, from_y - edge_y * along
        np.minimum(nearest, off_x * off_x + off_y * off_y, out=nearest)
        # even-odd rule: does a ray to the right cross this edge?
        crosses = (row >= start[1]) != (row >= end[1])
        left_of_edge = (edge_x * from_y > edge_y * from_x) == (edge_y > 0)
        inside ^= crosses & left_of_edge
    distance = np.sqrt(nearest)
    return np.where(inside, -distance, distance)


def _ellipse_distance(column: Array, row: Array, angle: Array, long: Array, short: Array) -> Array:
    """First-order distance to an ellipse, exact for a circle: [N,H,W] -> [N,H,W]."""
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    across = (column * cosine + row * sine) / long[:, None, None]
    along = (row * cosine - column * sine) / short[:, None, None]
    level = np.sqrt(across**2 + along**2)
    slope = np.sqrt((across / long[:, None, None]) ** 2 + (along / short[:, None, None]) ** 2)
    return level * (level - 1.0) / slope.clip(1e-6)
