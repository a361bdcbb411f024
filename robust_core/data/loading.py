"""The one way to load images: by the name of a data set, or from a person's own files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from robust_core.data.base import DATA, NO_DATA, DataPreview, DataSource, ImageSet
from robust_core.data.image_folder import ImageFolder, is_image_folder, list_pictures
from robust_core.data.npz import NpzFile
from robust_core.data.picture_files import is_visible
from robust_core.errors import InputError
from robust_core.paths import CACHE, data_folder
from robust_core.registry import unknown_name


def list_data() -> list[str]:
    """Return the names of the data sets this package knows, whether present or not."""
    return DATA.names()


def own_data(root: Path | None = None) -> list[str]:
    """Return the names of a person's own sets in the data folder: npz files and image folders."""
    root = root or data_folder()
    here = _entries(root)
    files = {path.stem for path in here if path.suffix == ".npz"}
    folders = {path.name for path in here if path.is_dir() and is_image_folder(path)}
    return sorted((files | folders) - set(DATA.names()))


def data_source(name: str, root: Path | None = None) -> DataSource:
    """Return the data set called `name`.

    Args:
        name: a registered name, the name of an npz file or image folder in the data folder, or a
            path (with a separator or the suffix .npz) to either.
        root: the data folder; None takes `paths.data_folder()`.

    Raises:
        InputError: there is no such data set, or what is called so is none, with the reason.
    """
    if name in DATA.names():
        return DATA.get(name)
    if name == NO_DATA:
        raise InputError(
            "this model was imported without a data set, so there are no images for it: import it "
            "again and name one"
        )
    root = root or data_folder()
    if "/" in name or "\\" in name:
        return (NpzFile if name.endswith(".npz") else ImageFolder)(name, _path(name))
    here = {path.name: path for path in _entries(root) if path.name != CACHE}
    if name.endswith(".npz"):
        if not _path(name).is_file() and name in here:
            raise InputError(f"{name} is in the data folder, where its name is {name[:-4]!r}")
        return NpzFile(name, _path(name))
    if f"{name}.npz" in here:
        return NpzFile(name, here[f"{name}.npz"])
    if name in here and here[name].is_dir():
        if not is_image_folder(here[name]):
            list_pictures(here[name])  # says what does not fit
        return ImageFolder(name, here[name])
    raise _other_kind(name, here) or unknown_name("data set", name, DATA.names() + own_data(root))


def _entries(root: Path) -> list[Path]:
    """Return what is in the data folder, without hidden names."""
    return [path for path in root.iterdir() if is_visible(path.name)] if root.is_dir() else []


def _other_kind(name: str, here: Mapping[str, Path]) -> InputError | None:
    """Return why what is called `name` cannot be used; None: there is nothing of that name."""
    for path in here.values():
        if name in (path.name, path.stem) and path.is_file():
            return InputError(
                f"{path.name} in the data folder is of another kind: expected {path.stem}.npz or "
                f"a folder {path.stem} with one folder for each class"
            )
    if name and name.strip(".") and _path(name).is_dir():
        return InputError(f"the data folder has no {name!r}; the path of the one here is ./{name}")
    return None


def _path(name: str) -> Path:
    try:
        path = Path(name).expanduser()
        path.exists()
    except (RuntimeError, OSError, ValueError) as error:  # no such home, too long, a zero byte
        raise InputError(f"data set {name[:100]!r} cannot be looked for: {error}") from None
    return path


def load_data(
    name: str,
    split: str = "test",
    parameters: Mapping[str, Any] | None = None,
    *,
    root: Path | None = None,
    seed: int = 0,
) -> ImageSet:
    """Return one split of a data set as float32 images in [0, 1].

    Args:
        name: a name of `list_data()` or `own_data()`, or a path to a .npz file or an image folder.
        split: "train", "validation", "test", or an extra split of the data set.
        parameters: the data set's own choices; None takes their defaults.
        root: the data folder; None takes `paths.data_folder()`.
        seed: of the stratified division into training and validation images. The test split does
            not depend on it.

    Raises:
        InputError: unknown name, split or parameter; missing, damaged or unsuitable files.
    """
    source = data_source(name, root)
    if split == "train" and split not in source.splits:
        raise InputError(f"{name} has no images to train on, only those of a test")
    if split not in source.splits:
        raise unknown_name(f"split of {name}", split, list(source.splits))
    values = source.Parameters.create(parameters or {})
    return source.load(split, values, root or data_folder(), seed)


def data_preview(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    root: Path | None = None,
    seed: int = 0,
) -> DataPreview | None:
    """Return what is in a person's own set, by a quick look at the files; None of other sets.

    Every file's head and every label is looked at, few pictures are decoded.

    Args:
        name: as in `load_data`.
        parameters: the data set's own choices; None takes their defaults.
        root: the data folder; None takes `paths.data_folder()`.
        seed: of the division into training and validation images, as in `load_data`.

    Raises:
        InputError: as in `load_data`.
    """
    source = data_source(name, root)
    values = source.Parameters.create(parameters or {})
    return source.preview(values, root or data_folder(), seed)


def find_image(
    image_id: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    root: Path | None = None,
    seed: int = 0,
) -> ImageSet:
    """Return the set of one image that `ImageSet.image_id` names, e.g. "digits/test/17".

    Args:
        image_id: "<data set>/<split>/<index>".
        parameters: the data set's own choices, as in `load_data`.
        root: the data folder, as in `load_data`.
        seed: of the division into training and validation images, as in `load_data`.

    Raises:
        InputError: the id is malformed or there is no such image.
    """
    name, split, index = ["", "", *image_id.rsplit("/", 2)][-3:]
    if not (name and index.isascii() and index.isdigit()):
        raise InputError(f"an image id looks like 'digits/test/17', got {image_id!r}")
    images = load_data(name, split, parameters, root=root, seed=seed)
    found = torch.nonzero(images.index == int(index[:18])).flatten()
    if not len(found):
        largest = int(images.index.max())
        raise InputError(f"{name}/{split} has no image {index} (its largest is {largest})")
    return images.subset(found)
