"""CIFAR's files without unpickling: arrays are read, everything else is refused and never run."""

import pickle
import pickletools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torchvision.datasets.utils import calculate_md5

from robust_core.data import load_data
from robust_core.data.cifar_batches import read_batch
from robust_core.errors import InputError

AS_STRING = {"BINBYTES": b"T", "SHORT_BINBYTES": b"U"}
RUN: list[str] = []


class Evil:
    def __reduce__(self) -> Any:
        return RUN.append, ("run",)


def as_published(value: Any) -> bytes:
    """A pickle as Python 2 and NumPy 1 wrote the published files: its bytes are strings."""
    data = bytearray(pickle.dumps(value, protocol=3).replace(b"numpy._core", b"numpy.core"))
    for code, _, place in pickletools.genops(bytes(data)):
        if place is not None and code.name in AS_STRING:
            data[place : place + 1] = AS_STRING[code.name]
    return bytes(data)


def batch(seed: int, num_images: int, num_classes: int, key: str) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (num_images, 3072), dtype=np.uint8)
    return {"data": pixels, key: [i % num_classes for i in range(num_images)], "batch_label": "b"}


@pytest.mark.parametrize(
    ("name", "folder", "key"),
    [("cifar10", "cifar-10-batches-py", "labels"), ("cifar100", "cifar-100-python", "fine_labels")],
)
def test_the_images_of_the_published_layout(tmp_path, monkeypatch, name, folder, key) -> None:
    (tmp_path / folder).mkdir()
    num_classes = int(name.removeprefix("cifar"))
    lists = {}
    for part, files in {"train_list": ["one", "two"], "test_list": ["test"]}.items():
        lists[part] = []
        for number, file in enumerate(files):
            path = tmp_path / folder / file
            path.write_bytes(as_published(batch(number, 2 * num_classes, num_classes, key)))
            lists[part].append([file, calculate_md5(str(path))])
    for part, files in lists.items():
        monkeypatch.setattr(f"torchvision.datasets.{name.upper()}.{part}", files)
    monkeypatch.setattr("pickle.load", None)  # which torchvision would use
    images = load_data(name, "test", root=tmp_path)
    expected = batch(0, 2 * num_classes, num_classes, key)["data"].reshape(-1, 3, 32, 32)
    assert np.array_equal((255 * images.x).round().byte().numpy(), expected)
    assert images.y.tolist() == [i % num_classes for i in range(2 * num_classes)]
    train = load_data(name, "train", root=tmp_path)
    assert len(train) + len(load_data(name, "validation", root=tmp_path)) == 4 * num_classes


@pytest.mark.parametrize(
    "value",
    [
        Evil(),
        {"data": Evil(), "labels": [0]},
        SimpleNamespace(data=1),
        {"data": np.zeros((2, 3072), dtype=np.uint8), "labels": [0]},
        {"data": np.zeros((1, 3072)), "labels": [0]},
        {"data": np.array([Evil()]), "labels": [0]},
        [],
        {"data": np.zeros((1, 3072), dtype=np.uint8)},
        {"data": np.zeros((1, 3072), dtype=np.uint8), "labels": ["zero"]},
    ],
)
def test_anything_else_is_refused_and_not_run(tmp_path, value) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(as_published(value))
    with pytest.raises(InputError, match="batch of CIFAR"):
        read_batch(path)
    assert not RUN


def test_a_damaged_file_is_told(tmp_path) -> None:
    path = tmp_path / "data_batch_1"
    for content in (b"", b"\x80", b"no pickle", as_published(batch(0, 2, 2, "labels"))[:-200]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="data_batch_1 is no batch of CIFAR or is damaged"):
            read_batch(path)
