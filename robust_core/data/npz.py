"""Images in a NumPy archive: a person's own, or a benchmark set without a network."""

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust_core.data.base import DataSource, StoredImages
from robust_core.errors import InputError

LAYOUT = (
    "x_train, x_test (uint8 [N,H,W] or [N,H,W,C]), y_train, y_test (integers [N]) "
    "and, if you like, class_names (strings)"
)
LARGEST_ARRAY = 2**29  # pixel values: 2 GB as float32
SIDES = (8, 512)  # pixels
MOST_CLASSES = 1000
LONGEST_NAME = 100  # characters


class NpzFile(DataSource):
    """An npz file of a person's own; see `read_npz` for what it holds."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.title = path.stem
        self.path = path

    def is_available(self, root: Path | None = None) -> bool:
        """Return whether the file exists."""
        return self.path.is_file()

    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the "train" or the "test" arrays."""
        return read_npz(self.path, file)


def read_npz(path: Path, file: str, class_names: Sequence[str] | None = None) -> StoredImages:
    """Return the "train" or the "test" images of an npz file; nothing is ever unpickled.

    The file holds x_train, x_test, uint8 [N,H,W] or [N,H,W,C] with C 1 or 3 and sides of 8 to 512
    pixels; y_train, y_test, integers [N] or [N,1] in [0, K); and optionally class_names, K strings.
    Every class has images in both. Other arrays are ignored.

    Args:
        path: of the file.
        file: "train" or "test".
        class_names: names where the file has none; None takes "0" to "K-1".

    Raises:
        InputError: the file is missing, damaged or holds something else, with the reason.
    """
    if not path.is_file():
        raise InputError(f"expected an npz file with {LAYOUT} at {path}, there is none")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.name, file, class_names)
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


def _read(
    archive: zipfile.ZipFile, name: str, file: str, known_names: Sequence[str] | None
) -> StoredImages:
    headers = {
        key: _header(archive, name, key) for key in ("x_train", "y_train", "x_test", "y_test")
    }
    _check_headers(name, headers)
    labels = {part: _array(archive, f"y_{part}").reshape(-1) for part in ("train", "test")}
    class_names = _class_names(archive, name)
    if class_names is None:
        num_classes = int(max(y.max() for y in labels.values())) + 1
        if num_classes > MOST_CLASSES:
            raise InputError(f"{name}: expected 2 to {MOST_CLASSES} classes, got {num_classes}")
        named = known_names is not None and num_classes <= len(known_names)
        class_names = tuple(known_names if named and known_names else map(str, range(num_classes)))
    check_labels(name, labels, class_names)
    x = _array(archive, f"x_{file}")
    x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    return StoredImages(x, labels[file].astype(np.int64), class_names)


def check_labels(name: str, labels: dict[str, NDArray[Any]], class_names: tuple[str, ...]) -> None:
    """Raise `InputError` unless every split has labels in [0, K) and images of every class.

    Args:
        name: of the data set, for the message.
        labels: split -> labels [N].
        class_names: K names.
    """
    num_classes = len(class_names)
    for part, y in labels.items():
        if int(y.min()) < 0 or int(y.max()) >= num_classes:
            raise InputError(
                f"{name}: labels of the {part} images must be in [0, {num_classes - 1}], "
                f"got {y.min()} to {y.max()}"
            )
    if not 2 <= num_classes <= MOST_CLASSES:
        raise InputError(f"{name}: expected 2 to {MOST_CLASSES} classes, got {num_classes}")
    for part, y in labels.items():
        count = np.bincount(y.astype(np.int64), minlength=num_classes)
        if not count.all():
            empty = class_names[int(count.argmin())]
            raise InputError(f"{name}: class {empty!r} has no {part} images")


Header = tuple[tuple[int, ...], np.dtype[Any]]


def _header(archive: zipfile.ZipFile, name: str, key: str) -> Header:
    """Shape and type of an array, before any of it is read."""
    if f"{key}.npy" not in archive.namelist():
        raise InputError(f"{name} must hold {LAYOUT}; {key} is missing")
    with archive.open(f"{key}.npy") as member:
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        version = np.lib.format.read_magic(member)
        if version not in readers:
            raise InputError(f"{name}: {key} is in an unknown npy format, version {version}")
        shape, _, dtype = readers[version](member)
    if dtype.hasobject:
        raise InputError(f"{name}: {key} holds Python objects (pickled), which are never loaded")
    return shape, dtype


def _check_headers(name: str, headers: dict[str, Header]) -> None:
    for part in ("train", "test"):
        (x_shape, x_type), (y_shape, y_type) = headers[f"x_{part}"], headers[f"y_{part}"]
        got = f"got {x_type} {list(x_shape)}"
        if x_type != np.uint8:
            raise InputError(f"{name}: x_{part} must be uint8 (0 to 255), {got}")
        if len(x_shape) not in (3, 4) or (len(x_shape) == 4 and x_shape[3] not in (1, 3)):
            raise InputError(f"{name}: x_{part} must be [N,H,W] or [N,H,W,C] with C 1 or 3, {got}")
        if not SIDES[0] <= min(x_shape[1:3]) <= max(x_shape[1:3]) <= SIDES[1]:
            sides = f"{SIDES[0]} to {SIDES[1]} pixels a side"
            raise InputError(f"{name}: images must have {sides}, x_{part} has {list(x_shape)}")
        if np.prod(x_shape, dtype=np.float64) > LARGEST_ARRAY:
            raise InputError(f"{name}: x_{part} may have at most {LARGEST_ARRAY} values, {got}")
        if y_type.kind not in "iu" or y_shape not in (x_shape[:1], (x_shape[0], 1)):
            raise InputError(
                f"{name}: y_{part} must be {x_shape[0]} integers, one for each image, "
                f"got {y_type} {list(y_shape)}"
            )
        if not x_shape[0]:
            raise InputError(f"{name}: x_{part} holds no images")
    shapes = headers["x_train"][0][1:], headers["x_test"][0][1:]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"{name}: training and test images must have one shape, "
            f"got {list(shapes[0])} and {list(shapes[1])}"
        )


def _class_names(archive: zipfile.ZipFile, name: str) -> tuple[str, ...] | None:
    if "class_names.npy" not in archive.namelist():
        return None
    shape, dtype = _header(archive, name, "class_names")
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
