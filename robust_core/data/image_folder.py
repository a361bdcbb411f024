"""A person's own pictures: one folder a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust_core.data.base import (
    DataPreview,
    DataSource,
    Extent,
    StoredImages,
    first_of_classes,
)
from robust_core.data.cache import cached_arrays
from robust_core.data.images import LARGEST_FILE, decode_pixels, measure_picture
from robust_core.data.npz import LARGEST_ARRAY, MOST_CLASSES, check_labels
from robust_core.data.picture_files import (
    SUFFIXES,
    is_picture,
    is_visible,
    left_out,
    sizes_and_use,
    walk_files,
)
from robust_core.data.splits import stratified_split
from robust_core.errors import InputError
from robust_core.parameters import Parameters
from robust_core.paths import cache_folder

TEST_FRACTION = 0.2
TEST_SEED = 0  # fixed: no seed ever moves a test picture into training
FEWEST_OF_CLASS = 3  # one each for training, validation and test
PART_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
NO_TEST_FOLDER = "there is no test folder: a fixed fifth of the train pictures is the test split"


class ImageFolderParameters(Parameters):
    """How the pictures of a folder are brought to one shape."""

    size: Annotated[
        int, Field(ge=8, le=256, description="Height and width of the images, in pixels.")
    ] = 32


class ImageFolder(DataSource):
    """Pictures in class folders, brought to 3 x size x size.

    Either <folder>/train/<class>/**, <folder>/test/<class>/** and maybe <folder>/val/<class>/**, or
    <folder>/<class>/**, to any depth. Without a test folder a fixed stratified fifth becomes the
    test file; without a val folder the validation split is taken from the train file. Pictures are
    cut and resized as `decode_image` does; files of other kinds, and names that begin with a dot,
    are left out and counted in the notes.
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

    def stores_validation(self, root: Path) -> bool:
        """Return whether there is a val folder."""
        return self.path.is_dir() and "validation" in _part_folders(self.path)

    def extent(self, root: Path) -> Extent:
        """Return how many pictures a run trains on, and of how many classes."""
        listed = list_pictures(self.path)
        return self._extent(len(listed.parts["train"][0]), len(listed.class_names), root)

    def preview(self, parameters: Any, root: Path, seed: int) -> DataPreview:
        """Return the pictures of each class and split, after a look at the head of every file."""
        listed = list_pictures(self.path)
        for paths, _ in listed.parts.values():
            for path in paths:
                if measure_picture(path) is None:
                    _decode(path, self.path, parameters.size)  # says what is wrong with it
        files, y = listed.parts["train"]
        shown = first_of_classes(y)
        return DataPreview(
            listed.class_names,
            self._counts(
                {part: y for part, (_, y) in listed.parts.items()}, listed.class_names, root, seed
            ),
            np.stack([_decode(files[i], self.path, parameters.size) for i in shown]),
            y[shown],
            _notes(listed, parameters.size),
        )

    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the train, validation or test pictures, decoded or from the cache."""
        listed = list_pictures(self.path)
        files, y = listed.parts[file]
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

        x = cached_arrays(cache_folder(root), "folder", key, decode)["x"]
        return StoredImages(x, y, listed.class_names, _notes(listed, size))


def is_image_folder(path: Path) -> bool:
    """Return whether some folder in `path` holds a picture (a quick look)."""
    first = islice(walk_files(path), 1000)
    return any(file.parent != path and is_picture(file) for file in first)


Labelled = tuple[list[Path], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Listing:
    """The pictures of a folder: part -> paths and labels [N], K class names, and sentences."""

    parts: Mapping[str, Labelled]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def list_pictures(folder: Path) -> Listing:
    """Return which pictures are in which part and class.

    Raises:
        InputError: there is no such folder, or it is not laid out as `ImageFolder` says.
    """
    if not folder.is_dir():
        kind = ", which is a file of another kind" if folder.is_file() else ""
        raise InputError(f"expected a folder with one folder for each class at {folder}{kind}")
    files = [path for path in walk_files(folder) if path.is_file()]
    places = _part_folders(folder)
    class_names = _class_folders(places["train"])
    parts = {part: _labelled(place, class_names, files) for part, place in places.items()}
    _check_found(folder, parts, files)
    _check_classes(folder.name, places["train"], class_names)
    check_labels(folder.name, {part: y for part, (_, y) in parts.items()}, class_names)
    notes = left_out(files, sum(len(paths) for paths, _ in parts.values()))
    if "test" not in parts:
        parts |= _with_test(folder.name, *parts["train"], class_names)
        notes += (NO_TEST_FOLDER,) if places["train"] != folder else ()
    return Listing(parts, class_names, notes)


def _notes(listed: Listing, size: int) -> tuple[str, ...]:
    pictures = [path for paths, _ in listed.parts.values() for path in paths]
    return (*listed.notes, *sizes_and_use(pictures, size))


def _part_folders(folder: Path) -> dict[str, Path]:
    """Return where the class folders of each part are; `folder` itself where nothing is divided."""
    folders = _class_folders(folder)
    named: dict[str, Path] = {}
    for part, names in PART_NAMES.items():
        found = [
            name for name in folders if name.lower() in names and _class_folders(folder / name)
        ]
        if len(found) > 1:
            raise InputError(f"{folder.name}: {' and '.join(found)} both hold {part} pictures")
        if found:
            named[part] = folder / found[0]
    only_parts = len(named) == len(folders)
    if named and (only_parts or ("train" in named and len(named) > 1)):
        if "train" not in named:
            raise InputError(f"{folder.name}: expected a train folder beside {_listed(folders)}")
        return named
    every = {name for names in PART_NAMES.values() for name in names}
    if folders and all(name.lower() in every for name in folders):
        raise InputError(
            f"{folder.name}: expected one folder for each class in {_listed(folders)}, found none"
        )
    return {"train": folder}


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = (entry.name for entry in folder.iterdir() if entry.is_dir())
    return tuple(sorted(filter(is_visible, names)))


def _labelled(place: Path, class_names: tuple[str, ...], files: Sequence[Path]) -> Labelled:
    """Return the pictures in the class folders of a part, class by class, and their labels."""
    strange = set(_class_folders(place)) - set(class_names)
    if strange:
        raise InputError(
            f"{place.parent.name}: {place.name} has a class folder {min(strange)!r}, "
            "the train pictures have none"
        )
    found: dict[str, list[Path]] = {name: [] for name in class_names}
    start = place.parts
    for path in files:
        parts = path.parts
        if len(parts) > len(start) + 1 and parts[: len(start)] == start and is_picture(path):
            found[parts[len(start)]].append(path)
    labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found.values()])
    return list(chain.from_iterable(found.values())), labels.astype(np.int64)


def _check_found(folder: Path, parts: Mapping[str, Labelled], files: Sequence[Path]) -> None:
    for part, (paths, _) in parts.items():
        if not paths:
            kinds = ", ".join(sorted(SUFFIXES))
            which = f"{part} pictures" if len(parts) > 1 else "pictures"
            loose = sum(path.parent == folder and is_picture(path) for path in files)
            got = f"{loose} outside of any" if loose else "none"
            raise InputError(
                f"{folder.name}: expected {which} ({kinds}) in class folders, found {got}"
            )


def _check_classes(name: str, place: Path, class_names: tuple[str, ...]) -> None:
    if len(class_names) == 1 and _class_folders(place / class_names[0]):
        raise InputError(
            f"{name}: expected 2 to {MOST_CLASSES} classes, got 1 ({class_names[0]!r}); "
            f"if the folders in it are the classes, give {place / class_names[0]}"
        )


def _with_test(
    name: str, files: list[Path], y: NDArray[np.int64], class_names: tuple[str, ...]
) -> dict[str, Labelled]:
    """Divide the train pictures into a train and a test part."""
    count = np.bincount(y)
    if count.min() < FEWEST_OF_CLASS:
        raise InputError(
            f"{name}: every class needs at least {FEWEST_OF_CLASS} pictures, "
            f"{class_names[int(count.argmin())]!r} has {count.min()}"
        )
    chosen = zip(
        ("train", "test"), stratified_split(y, TEST_FRACTION, TEST_SEED, class_names), strict=True
    )
    return {part: ([files[i] for i in index], y[index]) for part, index in chosen}


def _decode(path: Path, folder: Path, size: int) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as file:
            return decode_pixels(file.read(LARGEST_FILE + 1), (3, size, size))
    except (InputError, OSError) as error:
        raise InputError(f"{path.relative_to(folder)}: {error}") from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
