"""A person's own pictures: one folder a class."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust_core.data.base import DataSource, StoredImages
from robust_core.data.cache import cached_arrays
from robust_core.data.images import LARGEST_FILE, decode_pixels
from robust_core.data.npz import LARGEST_ARRAY, check_labels
from robust_core.data.splits import stratified_split
from robust_core.errors import InputError
from robust_core.parameters import Parameters

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"))
TEST_FRACTION = 0.2
TEST_SEED = 0  # fixed: no seed ever moves a test picture into training
FEWEST_OF_CLASS = 3  # one each for training, validation and test


class ImageFolderParameters(Parameters):
    """How the pictures of a folder are brought to one shape."""

    size: Annotated[
        int, Field(ge=8, le=256, description="Side of the square images, in pixels.")
    ] = 32


class ImageFolder(DataSource):
    """Pictures in class folders, brought to 3 x size x size.

    Either <folder>/train/<class>/* and <folder>/test/<class>/*, or <folder>/<class>/*, of which a
    fixed stratified fifth becomes the test file. Pictures are cut and resized as `decode_image`
    does; files of other kinds are ignored.
    """

    Parameters = ImageFolderParameters
    augmentation = "crop_flip"

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.title = path.name
        self.path = path

    def is_available(self, root: Path | None = None) -> bool:
        """Return whether the folder exists."""
        return self.path.is_dir()

    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the train or the test pictures, decoded or from the cache."""
        files, y, class_names = _list_pictures(self.path, file)
        size = parameters.size
        if len(files) * 3 * size**2 > LARGEST_ARRAY:
            most = LARGEST_ARRAY // (3 * size**2)
            raise InputError(
                f"{self.title}: at most {most} images of size {size} fit, got {len(files)}"
            )
        stats = [(path, path.stat()) for path in files]
        key = [size, *((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)]

        def decode() -> dict[str, NDArray[Any]]:
            return {"x": np.stack([_decode(path, self.path, size) for path in files])}

        x = cached_arrays(root / "cache", "folder", key, decode)["x"]
        return StoredImages(x, y, class_names)


def is_image_folder(path: Path) -> bool:
    """Return whether `path` holds pictures as <class>/* or train/<class>/* (a quick look)."""
    return any(
        entry.suffix.lower() in SUFFIXES
        for pattern in ("[!.]*/*", "train/*/*")
        for entry in islice(path.glob(pattern), 1000)
    )


def _list_pictures(
    folder: Path, file: str
) -> tuple[list[Path], NDArray[np.int64], tuple[str, ...]]:
    """Paths, labels and class names of the train or the test file."""
    if not folder.is_dir():
        raise InputError(f"expected a folder with one folder for each class at {folder}")
    parts = {part: _class_folders(folder / part) for part in ("train", "test")}
    if any(parts.values()):
        if parts["train"] != parts["test"]:
            raise InputError(
                f"{folder.name}: train/ and test/ must have the same class folders, "
                f"got {_listed(parts['train'])} and {_listed(parts['test'])}"
            )
        class_names = parts["train"]
        listed = {part: _pictures(folder / part, class_names) for part in parts}
        _check(folder.name, listed, class_names)
        return *listed[file], class_names
    class_names = _class_folders(folder)
    files, y = _pictures(folder, class_names)
    _check(folder.name, {"train": (files, y)}, class_names)
    count = np.bincount(y)
    if count.min() < FEWEST_OF_CLASS:
        raise InputError(
            f"{folder.name}: every class needs at least {FEWEST_OF_CLASS} pictures, "
            f"{class_names[int(count.argmin())]!r} has {count.min()}"
        )
    train, test = stratified_split(y, TEST_FRACTION, TEST_SEED, class_names)
    chosen = test if file == "test" else train
    return [files[i] for i in chosen], y[chosen], class_names


def _class_folders(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    names = (entry.name for entry in folder.iterdir() if entry.is_dir())
    return tuple(sorted(name for name in names if not name.startswith((".", "__"))))


def _pictures(folder: Path, class_names: tuple[str, ...]) -> tuple[list[Path], NDArray[np.int64]]:
    """All pictures under the class folders, in the order of their names, and their labels."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        entries = sorted((folder / name).iterdir())
        found = [path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()]
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, dtype=np.int64)


def _check(
    name: str,
    listed: dict[str, tuple[list[Path], NDArray[np.int64]]],
    class_names: tuple[str, ...],
) -> None:
    for part, (files, _) in listed.items():
        if not files:
            kinds = ", ".join(sorted(SUFFIXES))
            raise InputError(f"{name}: expected pictures ({kinds}) in class folders, found none")
        check_labels(name, {part: listed[part][1]}, class_names)


def _decode(path: Path, folder: Path, size: int) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as file:
            return decode_pixels(file.read(LARGEST_FILE + 1), (3, size, size))
    except (InputError, OSError) as error:
        raise InputError(f"{path.relative_to(folder)}: {error}") from error


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "none"
