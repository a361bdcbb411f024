"""What a model from elsewhere classifies: its data set, or the meaning of its outputs."""

from dataclasses import dataclass

from robust_core.config.choice import DataChoice
from robust_core.data import ImageSet, data_source, load_data
from robust_core.data.base import NO_DATA
from robust_core.errors import InputError


@dataclass(frozen=True)
class Target:
    """What a model classifies.

    Attributes:
        data: its data set. image_shape: (C, H, W). class_names: K names, in the order of `data`.
        images: labelled images to measure it on; None where there are none on this machine.
        order: the names of the outputs where they are in another order than `class_names`.
    """

    data: DataChoice
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    images: ImageSet | None
    order: tuple[str, ...] | None = None


def find_target(
    data: str | None,
    class_names: tuple[str, ...] | None,
    image_shape: tuple[int, int, int] | None,
) -> Target:
    """Return what the model is to classify.

    Raises:
        InputError: nothing says what the outputs mean, or how large the images are.
    """
    if data is None:
        if class_names is None:
            raise InputError("Say what the outputs mean: name the data set, or the classes.")
        if image_shape is None:
            raise InputError(
                "Say the size of the images, such as 3x32x32 (channels, height, width), or name "
                "the data set."
            )
        return Target(DataChoice.create({"name": NO_DATA}), image_shape, class_names, None)
    source, images = data_source(data), None
    content = None if source.is_available() else source.known_content
    if content is None:
        images = load_data(data, "test")
        content = images.image_shape, images.class_names
    shape, names = content
    if image_shape not in (None, shape):
        raise InputError(f"the images of {data} have shape {list(shape)}, got {list(image_shape)}")
    order = None
    if class_names is not None and class_names != names:
        order = _same_classes(class_names, names, data)
    return Target(DataChoice.create({"name": data}), shape, names, images, order)


def _same_classes(
    class_names: tuple[str, ...], known: tuple[str, ...], data: str
) -> tuple[str, ...] | None:
    """Return the names of the outputs as the data set calls them; None: in the same order."""
    own = {name.casefold(): name for name in known}
    folded = [name.casefold().strip() for name in class_names]
    strange = [name for name in folded if name not in own]
    if strange or len(folded) != len(known) or len(set(folded)) != len(folded):
        missing = [name for name in known if name.casefold() not in folded]
        raise InputError(
            f"the classes should be the {len(known)} of {data}, got {len(folded)}"
            + (f", among them {', '.join(strange[:5])}" if strange else "")
            + (f"; {', '.join(missing[:5])} is missing" if missing else "")
        )
    order = tuple(own[name] for name in folded)
    return None if order == known else order
