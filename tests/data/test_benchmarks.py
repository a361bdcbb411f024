"""The benchmark sets without a network: from npz files, from torchvision's files, missing."""

import gzip
import socket
import struct
from urllib.error import URLError

import numpy as np
import pytest
import torch

from robust_core.data import data_source, load_data
from robust_core.data.benchmarks import BENCHMARKS
from robust_core.errors import InputError

NAMES = [benchmark.name for benchmark in BENCHMARKS]
BY_NAME = {benchmark.name: benchmark for benchmark in BENCHMARKS}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_args, **_choices):
        raise URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write_npz(path, shape, num_classes):
    channels, height, width = shape
    x = np.random.default_rng(0).integers(
        0, 256, (2 * num_classes, height, width, channels), dtype=np.uint8
    )
    y = np.arange(2 * num_classes) % num_classes
    extra = np.ones(3, dtype=bool)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y, exact_train=extra)
    return x


@pytest.mark.parametrize("name", NAMES)
def test_an_npz_file_comes_first(name, tmp_path, monkeypatch):
    source = BY_NAME[name]
    monkeypatch.setattr(type(source), "_from_torchvision", None)
    assert not source.is_available(tmp_path)
    x = write_npz(tmp_path / f"{name}.npz", source.image_shape, len(source.class_names))
    assert source.is_available(tmp_path)
    images = load_data(name, root=tmp_path)
    assert images.class_names == source.class_names
    assert torch.equal(images.x, torch.from_numpy(x).permute(0, 3, 1, 2) / 255)


def test_class_names_are_complete():
    counts = {benchmark.name: len(set(benchmark.class_names)) for benchmark in BENCHMARKS}
    assert counts.pop("cifar100") == 100
    assert set(counts.values()) == {10}


def test_an_npz_file_of_another_shape_is_refused(tmp_path):
    write_npz(tmp_path / "cifar10.npz", (3, 16, 16), 10)
    with pytest.raises(
        InputError, match=r"shape \[3, 32, 32\] \(C,H,W\), cifar10.npz holds \[3, 16"
    ):
        load_data("cifar10", root=tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_offline_and_missing_says_what_to_put_where(name, tmp_path):
    root = tmp_path / "data"
    with pytest.raises(InputError) as caught:
        load_data(name, "train", root=root)
    message = str(caught.value)
    assert f"{name} is not in {root}" in message
    assert "no network in tests" in message and "<" not in message and "\n" not in message
    assert f"put {name}.npz there with x_train, x_test" in message
    assert socket.getdefaulttimeout() is None


def test_a_server_that_says_nothing_is_not_waited_for_without_end(tmp_path, monkeypatch):
    seen = []

    def silent(*_args, **_choices):
        seen.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr("urllib.request.urlopen", silent)
    with pytest.raises(InputError, match=r"could not be downloaded .*timed out"):
        load_data("cifar10", "train", root=tmp_path)
    assert seen and all(seconds == 10 for seconds in seen)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"mnist is not in .* and could not be downloaded"):
        load_data("mnist", "train", root=tmp_path / "file" / "data")


def write_mnist_files(folder, x, y):
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        images = struct.pack(">IIII", 0x803, *x.shape) + x.tobytes()
        labels = struct.pack(">II", 0x801, len(y)) + y.tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)


def test_files_that_torchvision_keeps_are_used(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    y = (np.arange(30) % 10).astype(np.uint8)
    write_mnist_files(tmp_path / "MNIST" / "raw", x, y)
    assert data_source("mnist").is_available(tmp_path)
    images = load_data("mnist", root=tmp_path)
    assert torch.equal(images.x[:, 0], torch.from_numpy(x) / 255)
    assert images.y.tolist() == y.tolist()
    assert len(load_data("mnist", "validation", root=tmp_path)) == 10


def test_damaged_files_of_torchvision_are_refused(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    write_mnist_files(folder, np.zeros((30, 28, 28), np.uint8), np.zeros(30, np.uint8))
    (folder / "t10k-images-idx3-ubyte").write_bytes(gzip.compress(b"damaged"))
    with pytest.raises(InputError, match=r"mnist is not in .* and could not be downloaded"):
        load_data("mnist", root=tmp_path)
