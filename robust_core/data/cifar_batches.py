"""The files of CIFAR-10 and CIFAR-100 as torchvision downloads them, read without running them.

They are pickles of Python 2: a dictionary with a uint8 array and a list of labels. torchvision
would unpickle them; here every name that such a file asks for must be one of the few that make a
NumPy array, so a file that asks for anything else is refused before anything of it is called.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust_core.errors import InputError

SHAPE = (3, 32, 32)
KEYS = ("labels", "fine_labels")  # of CIFAR-10, of CIFAR-100
ARRAYS = {"numpy.core.multiarray", "numpy._core.multiarray"}  # before and after NumPy 2


@dataclass(frozen=True, eq=False)
class Batches:
    """The images uint8 [N,3,32,32] and the labels [N] of one part of the set."""

    data: NDArray[np.uint8]
    targets: list[int]


def read_batch(path: Path) -> Batches:
    """Return the images and labels of one file.

    Raises:
        InputError: the file is damaged, or asks for more than an array.
    """
    try:
        with path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="latin1").load()
        data = batch["data"]
        targets = next(batch[key] for key in KEYS if key in batch)
        fits = data.dtype == np.uint8 and data.shape == (len(targets), int(np.prod(SHAPE)))
        if not fits or not all(type(label) is int for label in targets):
            raise ValueError("expected uint8 [N,3072] and N labels")
    except InputError:
        raise
    except Exception as error:  # a damaged pickle fails in every way there is
        raise InputError(f"{path.name} is no batch of CIFAR or is damaged ({error})") from None
    return Batches(data.reshape(-1, *SHAPE), list(targets))


def batches_of(dataset: Any) -> Callable[..., Batches]:
    """Return what takes the place of a class of torchvision.datasets that unpickles its files.

    Args:
        dataset: `CIFAR10` or `CIFAR100`; it says where the files are, and their digests.

    Returns:
        A function of (root, train, download) that returns the whole part. It raises RuntimeError
        where a file is missing or not the known one, and InputError as `read_batch` does.
    """
    from torchvision.datasets import utils  # noqa: PLC0415 - takes seconds to import

    def make(root: Path, *, train: bool, download: bool) -> Batches:
        if download:
            utils.download_and_extract_archive(
                dataset.url, str(root), filename=dataset.filename, md5=dataset.tgz_md5
            )
        folder = root / dataset.base_folder
        listed = dataset.train_list if train else dataset.test_list
        if not all(utils.check_integrity(str(folder / name), md5) for name, md5 in listed):
            raise RuntimeError(f"no complete set in {folder}")
        found = [read_batch(folder / name) for name, _ in listed]
        labels = [label for one in found for label in one.targets]
        return Batches(np.concatenate([one.data for one in found]), labels)

    return make


class _ArraysOnly(pickle.Unpickler):
    """Admits the names that make a NumPy array and no other."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ARRAYS and name == "_reconstruct":
            return _empty_array
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise InputError(
            f"a batch of CIFAR holds arrays and labels, this one asks for {module}.{name}"
        )


def _empty_array(kind: Any, shape: Any, code: Any) -> NDArray[Any]:
    """Return the array that the state of the pickle then fills."""
    if kind is not np.ndarray:
        raise InputError("a batch of CIFAR holds arrays and labels, this one holds another type")
    return np.ndarray.__new__(np.ndarray, shape, code)
