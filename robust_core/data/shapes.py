"""Shapes drawn from a seed: ten classes in five look-alike pairs, with a controllable confounder.

Everything about a picture is decided at once for all pictures (`_compose`), as arrays of numbers;
`_draw` turns these into pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust_core.data.backgrounds import BACKGROUNDS, Backdrop, background_blend
from robust_core.data.base import DATA, DataSource, StoredImages
from robust_core.data.cache import cached_arrays
from robust_core.data.colour_blocks import TOY_CLASSES, draw_colour_blocks
from robust_core.data.outlines import CLASS_NAMES, signed_distance
from robust_core.parameters import Parameters
from robust_core.paths import cache_folder
from robust_core.threat_model import Norm, ThreatModel

Array = NDArray[np.floating]
Drawing = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
Scene = Literal["patterns", "colour_blocks"]

SIDE = 32  # pixels
DRAWING_VERSION = 1  # part of the cache key: raise it when a picture changes
CHUNK = 500  # pictures drawn together: few enough to stay in the processor's cache


class ShapesParameters(Parameters):
    """Choices of the drawn data set."""

    confounding: Annotated[
        float,
        Field(
            ge=0.0,
            le=1.0,
            description="Probability that a training image has the background of its class; "
            "otherwise the background is random. In the test split it is always random.",
        ),
    ] = 0.0
    scene: Annotated[
        Scene,
        Field(
            description="Images to draw: ten shapes on ten patterns (3×32×32), or three black "
            "shapes on blocks of three colours (3×64×64, the toy data of CiiV)."
        ),
    ] = "patterns"
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Random seed of the drawing.")] = 0
    num_train: Annotated[
        int, Field(ge=100, le=50_000, description="Number of training and validation images.")
    ] = 10_000
    num_test: Annotated[
        int, Field(ge=50, le=10_000, description="Number of images of each test split.")
    ] = 2_000


class Shapes(DataSource):
    """Ten drawn shapes, 3x32x32, in five pairs that are easily mistaken for each other.

    Position, size, rotation and colours are random. The background is one of ten patterns. In the
    train and validation splits, and in "test_confounded", an image of class k has pattern k with
    probability `confounding` and otherwise a pattern drawn from all ten alike; so pattern k comes
    with class k in a share c + (1 - c) / 10 of the images. In "test" the pattern never depends on
    the class. "test" and "test_confounded" show the same shapes in the same places and colours;
    only the patterns differ.

    With the scene "colour_blocks" there are three shapes, 3x64x64, and the dominant colour of the
    background takes the place of the pattern; see `data.colour_blocks`.
    """

    name = "shapes"
    title = "Shapes (drawn, 3×32×32, embedded)"
    Parameters = ShapesParameters
    threat_model = ThreatModel(Norm.LINF, 8 / 255)
    augmentation = "crop_flip"
    splits = ("train", "validation", "test", "test_confounded")
    embedded = True

    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the pictures of "train", "test" or "test_confounded", drawn or from the cache."""
        num_images = parameters.num_train if file == "train" else parameters.num_test
        confounding = 0.0 if file == "test" else parameters.confounding
        stream = 0 if file == "train" else 1  # both test splits draw the same shapes
        key = [DRAWING_VERSION, num_images, parameters.seed, stream, confounding]
        draw_scene, class_names = SCENES[parameters.scene]

        def draw() -> dict[str, NDArray[Any]]:
            x, y, _ = draw_scene(num_images, confounding, [parameters.seed, stream])
            return {"x": x, "y": y}

        name = "shapes" if parameters.scene == "patterns" else parameters.scene
        arrays = cached_arrays(cache_folder(root), name, key, draw)
        return StoredImages(arrays["x"], arrays["y"], class_names)


DATA.register("shapes")(Shapes())


def draw_shapes(
    num_images: int, confounding: float, seed: int | list[int], confounder: int | None = None
) -> Drawing:
    """Draw shapes on patterned backgrounds.

    Args:
        num_images: N; the classes appear equally often (up to one image) in random order.
        confounding: probability that image i gets pattern y_i instead of any pattern.
        seed: of all choices; the same seed with another `confounding` changes only patterns.
        confounder: the pattern of all images; None: as `confounding` says.

    Returns:
        x uint8 [N,3,32,32], y int64 [N], and the pattern of each image, int64 [N].
    """
    scene = _compose(num_images, confounding, np.random.default_rng(seed))
    if confounder is not None:
        pattern = np.full_like(scene.backdrop.pattern, confounder)
        scene = replace(scene, backdrop=replace(scene.backdrop, pattern=pattern))
    starts = range(0, num_images, CHUNK)
    x = np.concatenate([_draw(scene.part(slice(start, start + CHUNK))) for start in starts])
    return x, scene.y, scene.backdrop.pattern


# how a scene is drawn, and its classes; class k is tied to confounder k
SCENES: dict[str, tuple[Callable[..., Drawing], tuple[str, ...]]] = {
    "patterns": (draw_shapes, CLASS_NAMES),
    "colour_blocks": (draw_colour_blocks, TOY_CLASSES),
}


@dataclass(frozen=True, eq=False)
class _Scene:
    """All decisions about N pictures; lengths in pixels, angles in radians, colours RGB [0, 1]."""

    y: NDArray[np.int64]  # [N]
    centre: Array  # [N, 2] from the middle of the picture, x to the right, y down
    radius: Array  # [N]
    angle: Array  # [N]
    aspect: Array  # [N] in [0, 1]: where in the range of its class the proportions lie
    colour: Array  # [N, 3]
    light: Array  # [N, 2] direction that the light comes from, a unit vector
    backdrop: Backdrop

    def part(self, chosen: slice) -> Self:
        """The same decisions about some of the pictures."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        backdrop = values.pop("backdrop").part(chosen)
        parts = {name: value[chosen] for name, value in values.items()}
        return type(self)(**parts, backdrop=backdrop)


def _compose(num_images: int, confounding: float, generator: np.random.Generator) -> _Scene:
    """Decide everything, in a fixed order, so that a seed means the same pictures for ever."""

    def uniform(low: float, high: float, *shape: int) -> Array:
        return generator.uniform(low, high, (num_images, *shape)).astype(np.float32)

    y = generator.permutation(np.arange(num_images) % len(CLASS_NAMES))
    radius = uniform(9.5, 13.5)
    centre = uniform(-1.0, 1.0, 2) * (SIDE / 2 - 1.0 - radius[:, None]).clip(0.0)
    angle, aspect, direction = uniform(0, 2 * np.pi), uniform(0, 1), uniform(0, 2 * np.pi)

    dark_room = uniform(0, 1) < 0.5
    hue = uniform(0, 1)
    saturation = np.where(dark_room, uniform(0.45, 0.85), uniform(0.65, 0.95))
    value = np.where(dark_room, uniform(0.9, 1.0), uniform(0.45, 0.8))
    back_hue = hue + uniform(0.25, 0.75)
    back_saturation = np.where(dark_room, uniform(0.35, 0.75), uniform(0.08, 0.3))
    back_value = np.where(dark_room, uniform(0.12, 0.3), uniform(0.9, 1.0))
    contrast = np.where(dark_room, uniform(0.13, 0.22), -uniform(0.15, 0.27))

    any_pattern = generator.integers(0, len(BACKGROUNDS), num_images)
    tied = uniform(0, 1) < confounding
    backdrop = Backdrop(
        pattern=np.where(tied, y, any_pattern),
        first=_rgb(back_hue, back_saturation, back_value),
        second=_rgb(back_hue + uniform(-0.06, 0.06), back_saturation, back_value + contrast),
        period=uniform(6.0, 9.0),
        phase=uniform(0.0, 2 * np.pi, 2),
        tilt=uniform(-0.15, 0.15),
        heading=uniform(0.0, 2 * np.pi),
        cloud=uniform(0.0, 1.0, 6, 6),
    )
    return _Scene(
        y=y,
        centre=centre,
        radius=radius,
        angle=angle,
        aspect=aspect,
        colour=_rgb(hue, saturation, value),
        light=np.stack([np.cos(direction), np.sin(direction)], axis=1),
        backdrop=backdrop,
    )


def _draw(scene: _Scene) -> NDArray[np.uint8]:
    """Paint the pictures: background, soft shadow, shape with a shaded face and a darker rim."""
    axis = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    row, column = axis[:, None] - scene.centre[:, 1, None, None], axis - scene.centre[:, :1, None]
    row, column = np.broadcast_arrays(row, column)  # [N, H, W], from the centre of the shape
    distance = signed_distance(
        scene.y, column, row, scene.radius, scene.angle, scene.aspect
    )  # [N, H, W], negative inside

    blend = background_blend(scene.backdrop, axis)[:, None]  # [N, 1, H, W]
    first, second = scene.backdrop.first, scene.backdrop.second
    picture = _column(first) + blend * _column(second - first)

    shadow = np.exp(-distance.clip(0.0) / 2.0)[:, None]
    picture *= 1.0 - 0.3 * shadow

    light = scene.light / scene.radius[:, None]
    slope = light[:, :1, None] * column + light[:, 1, None, None] * row
    rim = (distance + 1.8).clip(0.0, 1.0)
    face = _column(scene.colour) * (1.0 + 0.16 * slope - 0.3 * rim)[:, None]
    coverage = (0.5 - distance).clip(0.0, 1.0)[:, None]
    picture += coverage * (face - picture)
    return (picture.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)


def _column(colour: Array) -> Array:
    return colour[:, :, None, None]  # [N, 3] -> [N, 3, 1, 1]


def _rgb(hue: Array, saturation: Array, value: Array) -> Array:
    """Colours from hue (of any turn), saturation and value in [0, 1]: [N], [N], [N] -> [N, 3]."""
    sector = (hue[:, None] * 6.0 + np.array([5.0, 3.0, 1.0])) % 6.0
    weight = np.minimum(sector, 4.0 - sector).clip(0.0, 1.0)
    return (value[:, None] * (1.0 - saturation[:, None] * weight)).astype(np.float32)
