"""The images on which a checkpoint is judged."""

from robust_core.data import ImageSet, load_data
from robust_core.errors import InputError
from robust_core.training.checkpoint import CheckpointInfo
from robust_core.training.config import DataChoice


def images_for(info: CheckpointInfo, data: DataChoice | None, split: str) -> ImageSet:
    """Return a split of `data`, or of the data set that the checkpoint was trained on.

    Raises:
        InputError: no such images, or they do not fit the model.
    """
    choice = data or info.config.data
    images = load_data(choice.name, split, choice.parameters, seed=choice.seed)
    check_fit(info, images)
    return images


def check_fit(info: CheckpointInfo, images: ImageSet) -> None:
    """Raise `InputError` unless the images have the model's shape and number of classes."""
    expected = (info.image_shape, info.num_classes)
    if expected != (images.image_shape, images.num_classes):
        raise InputError(
            f"{info.name} takes images {_words(*expected)}, but {images.name} has "
            f"{_words(images.image_shape, images.num_classes)}"
        )


def _words(shape: tuple[int, int, int], num_classes: int) -> str:
    return f"{'x'.join(map(str, shape))} of {num_classes} classes"
