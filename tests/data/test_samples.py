"""Pictures that ship with Foolbox: photographs of ImageNet, and stand-ins of four benchmarks."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from robust_core.config.presets import preset
from robust_core.data import data_source, load_data
from robust_core.data.benchmarks import Benchmark
from robust_core.data.imagenet_names import IMAGENET_NAMES
from robust_core.errors import InputError

BEGINNINGS = {  # of the labels of the real test sets
    "mnist": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
    "fashion_mnist": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
    "cifar10": [3, 8, 8, 0, 6, 6, 1, 6, 3, 1],
    "cifar100": [49, 33, 72, 51, 71, 92, 15, 14, 23, 0],
}


@pytest.fixture
def without_foolbox(monkeypatch):
    monkeypatch.setattr("robust_core.data.samples.package_folder", lambda name: None)


def test_the_names_are_those_of_torchvision():
    from torchvision.models import get_model_weights  # noqa: PLC0415

    weights = get_model_weights("resnet18").DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    assert list(IMAGENET_NAMES) == weights.meta["categories"]
    assert len(set(IMAGENET_NAMES)) == 1000


def test_photographs_are_read_as_files_and_never_by_importing_foolbox(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "foolbox", raising=False)
    images = load_data("imagenet_samples", root=tmp_path)
    assert "foolbox" not in sys.modules
    assert images.x.shape == (20, 3, 224, 224)
    assert images.x.min() >= 0 and images.x.max() <= 1
    assert torch.equal((images.x * 255).round() / 255, images.x)
    assert images.num_classes == 1000
    assert [images.class_names[int(k)] for k in images.y[[4, 15, 17]]] == [
        *("strawberry", "goose", "bald eagle")
    ]
    assert images.image_id(4) == "imagenet_samples/test/4"
    assert "support no claim" in images.notes[0]


@pytest.mark.slow
def test_a_photograph_is_the_central_part_of_its_file(tmp_path, monkeypatch):
    """0.875 of the shorter side: of 512x256, the square of 224 in the centre, pixel by pixel."""
    folder = tmp_path / "foolbox" / "data"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (256, 512, 3), dtype=np.uint8)
    for number in range(20):
        Image.fromarray(pixels).save(folder / f"imagenet_{number:02d}_7.png")
    monkeypatch.setattr("robust_core.data.samples.package_folder", lambda name: tmp_path / name)
    images = load_data("imagenet_samples")
    expected = torch.from_numpy(pixels[16:240, 144:368].transpose(2, 0, 1).copy()) / 255
    assert torch.equal(images.x[3], expected)
    (folder / "imagenet_11_7.png").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"^a picture that ships with Foolbox cannot be read: "):
        load_data("imagenet_samples")


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_benchmark_that_is_not_here_has_its_first_test_images_as_a_stand_in(name, tmp_path):
    source, images = data_source(name), load_data(name, root=tmp_path)
    assert len(images) == 20
    assert images.y[:10].tolist() == BEGINNINGS[name]
    assert isinstance(source, Benchmark)
    assert images.image_shape == source.image_shape
    assert images.notes == (
        f"{name} is not in {tmp_path}: the first 20 of its test images, which ship with Foolbox, "
        "stand in; they show effects and support no claim",
    )
    assert not source.is_available(tmp_path)
    assert source.present_splits(tmp_path) == ("test",)
    assert source.presence(tmp_path).endswith("20 pictures that ship with Foolbox stand in")


def test_the_real_set_comes_before_its_stand_in(tmp_path):
    x, y = np.zeros((30, 28, 28), np.uint8), np.arange(30) % 10
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    source = data_source("mnist")
    assert (source.presence(tmp_path), source.present_splits(tmp_path)) == ("", source.splits)
    images = load_data("mnist", root=tmp_path)
    assert (len(images), images.notes) == (30, ())


def test_training_asks_for_the_real_set(tmp_path, monkeypatch):
    def offline(*_args, **_choices):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    for split in ("train", "validation"):
        with pytest.raises(InputError, match=r"cifar10 is not in .* could not be downloaded"):
            load_data("cifar10", split, root=tmp_path)
    for ask in (
        lambda: load_data("imagenet_samples", "train", root=tmp_path),
        lambda: preset("imagenet_samples", "pgd_at"),
    ):
        with pytest.raises(
            InputError, match="imagenet_samples has no images to train on, only those of a test"
        ):
            ask()


@pytest.mark.usefixtures("without_foolbox")
def test_without_foolbox_there_is_one_sentence_and_no_stand_in(tmp_path, monkeypatch):
    source = data_source("imagenet_samples")
    assert not source.is_available(tmp_path)
    assert source.present_splits(tmp_path) == ()
    assert source.presence(tmp_path) == "not on this machine"
    with pytest.raises(InputError) as error:
        load_data("imagenet_samples", root=tmp_path)
    assert str(error.value) == (
        "the pictures that ship with Foolbox are not on this machine: install them with "
        "pip install foolbox"
    )
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: 1 / 0)
    with pytest.raises(InputError, match=r"cifar10 is not in .* could not be downloaded"):
        load_data("cifar10", root=tmp_path)
