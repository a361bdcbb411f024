"""Ten background patterns: each blends two colours in its own way."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Backdrop:
    """All decisions about N backgrounds."""

    pattern: NDArray[np.int64]  # [N], position in BACKGROUNDS
    first: Array  # [N, 3], RGB in [0, 1]
    second: Array  # [N, 3]
    period: Array  # [N], pixels from one repetition to the next
    phase: Array  # [N, 2], radians
    tilt: Array  # [N], radians
    heading: Array  # [N], radians, any direction
    cloud: Array  # [N, 6, 6], random heights

    def part(self, chosen: slice | NDArray[np.int64]) -> Self:
        """The same decisions about some of the backgrounds."""
        return type(self)(
            **{field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        )


@dataclass(frozen=True, eq=False)
class _Plane:
    """Pixels of N pictures of one pattern: coordinates turned by the tilt, [N,H,W], in pixels."""

    column: Array
    row: Array
    backdrop: Backdrop

    def wave(self, position: Array, which: int = 0) -> Array:
        """A sine along `position` with the picture's own period and phase, in [-1, 1]."""
        frequency = (2 * np.pi / self.backdrop.period)[:, None, None]
        return np.sin(position * frequency + self.backdrop.phase[:, which, None, None])


def background_blend(backdrop: Backdrop, axis: Array) -> Array:
    """Return the share of the second colour at each pixel: [N,H,W] in [0, 1].

    Args:
        backdrop: the decisions about N backgrounds.
        axis: positions of the pixels along a side, [H], from the middle of the picture.
    """
    blend = np.empty((len(backdrop.pattern), len(axis), len(axis)), dtype=np.float32)
    for number, pattern in enumerate(BACKGROUNDS.values()):
        chosen = np.flatnonzero(backdrop.pattern == number)
        part = backdrop.part(chosen)
        sine, cosine = np.sin(part.tilt)[:, None, None], np.cos(part.tilt)[:, None, None]
        row = axis[:, None] * cosine - axis * sine
        blend[chosen] = pattern(_Plane(axis * cosine + axis[:, None] * sine, row, part))
    return blend


def _step(wave: Array) -> Array:
    """A soft square wave: [-1, 1] -> [0, 1]."""
    return 0.5 + 0.5 * np.tanh(3.0 * wave)


def _plain(plane: _Plane) -> Array:
    return np.full_like(plane.column, 0.3)


def _gradient(plane: _Plane) -> Array:
    heading = plane.backdrop.heading[:, None, None]
    along = plane.column * np.cos(heading) + plane.row * np.sin(heading)
    return (0.5 + along / 30.0).clip(0.0, 1.0) * 1.8 - 0.4


def _level_stripes(plane: _Plane) -> Array:
    return _step(plane.wave(plane.row))


def _upright_stripes(plane: _Plane) -> Array:
    return _step(plane.wave(plane.column))


def _diagonal_stripes(plane: _Plane) -> Array:
    return _step(plane.wave((plane.column + plane.row) * np.float32(np.sqrt(0.5))))


def _checkerboard(plane: _Plane) -> Array:
    half = 0.5
    return _step(1.5 * plane.wave(half * plane.column, 0) * plane.wave(half * plane.row, 1))


def _dots(plane: _Plane) -> Array:
    return _step(plane.wave(plane.column, 0) + plane.wave(plane.row, 1) - 0.7)


def _rings(plane: _Plane) -> Array:
    shift = 4.0 * np.cos(plane.backdrop.phase)
    column, row = plane.column - shift[:, :1, None], plane.row - shift[:, 1, None, None]
    return _step(plane.wave(np.hypot(column, row)))


def _grid(plane: _Plane) -> Array:
    lines = np.maximum(plane.wave(plane.column, 0), plane.wave(plane.row, 1))
    return _step(2.0 * (lines - 0.75))


def _clouds(plane: _Plane) -> Array:
    side = plane.column.shape[1]
    place = np.linspace(0, 4.999, side)
    near, share = place.astype(int), place % 1.0
    share = share * share * (3.0 - 2.0 * share)
    weight = np.zeros((side, 6), dtype=np.float32)  # smooth interpolation between 6 heights
    weight[np.arange(side), near], weight[np.arange(side), near + 1] = 1.0 - share, share
    return weight @ plane.backdrop.cloud @ weight.T * 1.6 - 0.3


BACKGROUNDS: dict[str, Callable[[_Plane], Array]] = {
    "plain": _plain,
    "gradient": _gradient,
    "level stripes": _level_stripes,
    "upright stripes": _upright_stripes,
    "diagonal stripes": _diagonal_stripes,
    "checkerboard": _checkerboard,
    "dots": _dots,
    "rings": _rings,
    "grid": _grid,
    "clouds": _clouds,
}
