"""Images in a NumPy archive: a person's own, or a benchmark set without a network."""

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from robust_core.data.base import (
    DataPreview,
    DataSource,
    Extent,
    StoredImages,
    first_of_classes,
)
from robust_core.errors import InputError

LAYOUT = (
    "x_train, x_test (uint8 [N,H,W] or [N,H,W,C]), y_train, y_test (integers [N]) "
    "and, if you like, x_val, y_val and class_names (strings); or MedMNIST's names (train_images, "
    "train_labels and so on)"
)
PART_KEYS = {"train": "train", "validation": "val", "test": "test"}
LARGEST_ARRAY = 2**29  # pixel values: 2 GB as float32
SIDES = (8, 512)  # pixels
MOST_CLASSES = 1000
LONGEST_NAME = 100  # characters

Keys = dict[str, tuple[str, str]]  # part -> names of its images and of its labels


class NpzFile(DataSource):
    """An npz file of a person's own; see `read_npz` for what it holds."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.title = path.stem
        self.path = path

    def is_available(self, root: Path | None = None) -> bool:
        """Return whether the file exists."""
        return self.path.is_file()

    def stores_validation(self, root: Path) -> bool:
        """Return whether the file holds validation images."""
        with _opened(self.path) as archive:
            return "validation" in _keys(archive)

    def extent(self, root: Path) -> Extent:
        """Return how many images a run trains on, and of how many classes."""
        with _opened(self.path) as archive:
            labels, class_names = _labels(archive, self.path.name, _keys(archive), ())
        return self._extent(len(labels["train"]), len(class_names), root)

    def preview(self, parameters: Any, root: Path, seed: int) -> DataPreview:
        """Return the images of each class and split, after a look at heads and labels."""
        with _opened(self.path) as archive:
            keys = _keys(archive)
            labels, class_names = _labels(archive, self.path.name, keys, ())
            whole = {part: y.astype(np.int64) for part, y in labels.items()}
            shown = first_of_classes(whole["train"])
            x = _images_at(archive, self.path.name, keys["train"][0], shown)
            notes = _notes(archive, self.path.name, keys)
        counts = self._counts(whole, class_names, root, seed)
        return DataPreview(class_names, counts, x, whole["train"][shown], notes)

    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the "train", "validation" or "test" arrays."""
        return read_npz(self.path, file)


def read_npz(path: Path, file: str, class_names: Sequence[str] | None = None) -> StoredImages:
    """Return the images of one part of an npz file; nothing is ever unpickled.

    The file holds x_train, x_test and maybe x_val, uint8 [N,H,W] or [N,H,W,C] with C 1 or 3 and
    sides of 8 to 512 pixels; y_train, y_test and maybe y_val, integers [N] or [N,1] in [0, K); and
    optionally class_names, K strings. Every class has training images. The names of MedMNIST
    (train_images, train_labels, val_images, ...; Yang et al., "MedMNIST v2", Scientific Data 2023,
    arXiv:2110.14795) are read, too. Other arrays are left out, which the notes say.

    Args:
        path: of the file.
        file: "train", "validation" (if the file has it) or "test".
        class_names: names where the file has none; None takes "0" to "K-1".

    Raises:
        InputError: the file is missing, damaged or holds something else, with the reason.
    """
    with _opened(path) as archive:
        return _read(archive, path.name, file, class_names)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an npz file; whatever is wrong with it becomes one sentence."""
    if not path.is_file():
        raise InputError(f"expected an npz file with {LAYOUT} at {path}, there is none")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        RuntimeError,
        tokenize.TokenError,
        lzma.LZMAError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"{path.name} is no npz file or is damaged ({error})") from error


def _keys(archive: zipfile.ZipFile) -> Keys:
    """Return the names of the images and of the labels of each part that there should be."""
    held = _held(archive)
    patterns = ("x_{}", "y_{}")
    if "train_images" in held and "x_train" not in held:
        patterns = ("{}_images", "{}_labels")
    keys = {
        part: (patterns[0].format(key), patterns[1].format(key)) for part, key in PART_KEYS.items()
    }
    if held.isdisjoint(keys["validation"]):
        del keys["validation"]
    return keys


def _held(archive: zipfile.ZipFile) -> set[str]:
    return {name.removesuffix(".npy") for name in archive.namelist()}


def _read(
    archive: zipfile.ZipFile, name: str, file: str, known_names: Sequence[str] | None
) -> StoredImages:
    keys = _keys(archive)
    labels, class_names = _labels(archive, name, keys, known_names or ())
    x = _channels_first(_array(archive, keys[file][0]))
    notes = _notes(archive, name, keys)
    return StoredImages(x, labels[file].astype(np.int64), class_names, notes)


def _notes(archive: zipfile.ZipFile, name: str, keys: Keys) -> tuple[str, ...]:
    others = sorted(_held(archive) - {"class_names"}.union(*keys.values()))
    return (f"left out: the arrays {_listed(others)} of {name}",) if others else ()


def _channels_first(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)


def _images_at(
    archive: zipfile.ZipFile, name: str, key: str, positions: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return some images of an array of uint8, [P,C,H,W], without keeping the others in memory."""
    shape, _, in_columns = _header(archive, name, key)
    if in_columns:  # the values of one image are spread over the whole array
        return _channels_first(_array(archive, key)[positions])
    length = int(np.prod(shape[1:]))
    images = np.empty((len(positions), *shape[1:]), dtype=np.uint8)
    with archive.open(f"{key}.npy") as member:
        _read_header(member, name, key)
        begin = member.tell()
        for place, position in enumerate(positions):
            member.seek(begin + int(position) * length)
            images[place] = np.frombuffer(member.read(length), np.uint8).reshape(shape[1:])
    return _channels_first(images)


def _labels(
    archive: zipfile.ZipFile, name: str, keys: Keys, known_names: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Return the labels of each part and the class names, after all checks but of the pixels."""
    headers = {key: _header(archive, name, key) for pair in keys.values() for key in pair}
    _check_headers(name, keys, headers)
    labels = {part: _array(archive, key).reshape(-1) for part, (_, key) in keys.items()}
    class_names = _class_names(archive, name)
    if class_names is None:
        num_classes = _count_classes(name, labels, known_names)
        class_names = tuple(known_names or map(str, range(num_classes)))
    check_labels(name, labels, class_names)
    return labels, class_names


def _count_classes(
    name: str, labels: Mapping[str, NDArray[Any]], known_names: Sequence[str]
) -> int:
    """Return K for labels without names.

    Raises:
        InputError: they are not 0 to K - 1, and fit no known names either.
    """
    occurring = sorted({int(label) for y in labels.values() for label in np.unique(y)})
    first, last, count = occurring[0], occurring[-1], len(occurring)
    if count > MOST_CLASSES:
        raise InputError(f"{name}: expected 2 to {MOST_CLASSES} classes, got {count}")
    if (first >= 0 and last < len(known_names)) or (first, last) == (0, count - 1):
        return count
    if first > 0 and last - first == count - 1:
        todo = f"subtract {first} from all of them"
    else:
        todo = f"number the classes 0 to {count - 1}, as np.unique(y, return_inverse=True) does"
    raise InputError(
        f"{name}: labels must count from 0 without gaps, those that occur are "
        f"{_listed(occurring)}: {todo}"
    )


def _listed(values: Sequence[Any]) -> str:
    """Return up to ten values, the last among them."""
    shown = [*values[:9], "...", values[-1]] if len(values) > 10 else values
    return ", ".join(map(str, shown))


def check_labels(
    name: str, labels: Mapping[str, NDArray[Any]], class_names: tuple[str, ...]
) -> None:
    """Raise `InputError` unless all labels are in [0, K) and every class has training images.

    A class may be missing among the validation and the test images.

    Args:
        name: of the data set, for the message.
        labels: part -> labels [N], "train" among them.
        class_names: K names.
    """
    num_classes = len(class_names)
    for part, y in labels.items():
        if int(y.min()) < 0 or int(y.max()) >= num_classes:
            from_one = int(y.min()) > 0 and int(y.max()) == num_classes
            raise InputError(
                f"{name}: labels of the {part} images must be in [0, {num_classes - 1}], "
                f"got {y.min()} to {y.max()}" + (": subtract 1 from all of them" * from_one)
            )
    if not 2 <= num_classes <= MOST_CLASSES:
        raise InputError(f"{name}: expected 2 to {MOST_CLASSES} classes, got {num_classes}")
    count = np.bincount(labels["train"].astype(np.int64), minlength=num_classes)
    if not count.all():
        empty = class_names[int(count.argmin())]
        raise InputError(f"{name}: class {empty!r} has no train images")


Header = tuple[tuple[int, ...], np.dtype[Any], bool]  # shape, type, in the order of Fortran


def _header(archive: zipfile.ZipFile, name: str, key: str) -> Header:
    """Shape and type of an array, before any of it is read."""
    if f"{key}.npy" not in archive.namelist():
        raise InputError(f"{name} must hold {LAYOUT}; {key} is missing")
    with archive.open(f"{key}.npy") as member:
        return _read_header(member, name, key)


def _read_header(member: IO[bytes], name: str, key: str) -> Header:
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(member)
    if version not in readers:
        raise InputError(f"{name}: {key} is in an unknown npy format, version {version}")
    shape, in_columns, dtype = readers[version](member)
    if dtype.hasobject:
        raise InputError(f"{name}: {key} holds Python objects (pickled), which are never loaded")
    return shape, dtype, in_columns


def _check_headers(name: str, keys: Keys, headers: Mapping[str, Header]) -> None:
    for x_key, y_key in keys.values():
        (x_shape, x_type, _), (y_shape, y_type, _) = headers[x_key], headers[y_key]
        got = f"got {x_type} {list(x_shape)}"
        if x_type != np.uint8:
            raise InputError(f"{name}: {x_key} must be uint8 (0 to 255), {got}")
        if len(x_shape) not in (3, 4) or (len(x_shape) == 4 and x_shape[3] not in (1, 3)):
            raise InputError(f"{name}: {x_key} must be [N,H,W] or [N,H,W,C] with C 1 or 3, {got}")
        if not SIDES[0] <= min(x_shape[1:3]) <= max(x_shape[1:3]) <= SIDES[1]:
            sides = f"{SIDES[0]} to {SIDES[1]} pixels a side"
            raise InputError(f"{name}: images must have {sides}, {x_key} has {list(x_shape)}")
        if np.prod(x_shape, dtype=np.float64) > LARGEST_ARRAY:
            raise InputError(f"{name}: {x_key} may have at most {LARGEST_ARRAY} values, {got}")
        if y_type.kind not in "iu" or y_shape not in (x_shape[:1], (x_shape[0], 1)):
            raise InputError(
                f"{name}: {y_key} must be {x_shape[0]} integers, one for each image, "
                f"got {y_type} {list(y_shape)}"
            )
        if not x_shape[0]:
            raise InputError(f"{name}: {x_key} holds no images")
    train = headers[keys["train"][0]][0][1:]
    for part, (x_key, _) in keys.items():
        shape = headers[x_key][0][1:]
        if shape != train:
            raise InputError(
                f"{name}: training and {part} images must have one shape, "
                f"got {list(train)} and {list(shape)}"
            )


def _class_names(archive: zipfile.ZipFile, name: str) -> tuple[str, ...] | None:
    if "class_names.npy" not in archive.namelist():
        return None
    shape, dtype, _ = _header(archive, name, "class_names")
    if dtype.kind != "U" or len(shape) != 1 or shape[0] > MOST_CLASSES:
        raise InputError(
            f"{name}: class_names must be at most {MOST_CLASSES} strings, got {dtype} {list(shape)}"
        )
    if dtype.itemsize > 4 * LONGEST_NAME:
        raise InputError(f"{name}: a class name may have at most {LONGEST_NAME} characters")
    return tuple(str(entry) for entry in _array(archive, "class_names"))


def _array(archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    with archive.open(f"{key}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)
