"""A person's own pictures, right and wrong."""

import logging

import pytest
import torch

from robust_core.data import load_data
from robust_core.data.images import encode_png
from robust_core.errors import InputError


def write(path, num_images, brightness=0.5, side=12):
    path.mkdir(parents=True, exist_ok=True)
    for number in range(num_images):
        x = torch.full((3, side, side), brightness)
        x[:, 0, 0] = number / 255
        (path / f"{number:03}.png").write_bytes(encode_png(x))


@pytest.fixture
def flat(tmp_path):
    write(tmp_path / "pets" / "dog", 20, brightness=0.8)
    write(tmp_path / "pets" / "cat", 10, brightness=0.2)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "pets" / ".hidden").mkdir()
    return tmp_path


def test_a_folder_of_classes_is_divided(flat):
    parts = {
        split: load_data("pets", split, {"size": 12}, root=flat)
        for split in ("train", "validation", "test")
    }
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 22,
        "validation": 2,
        "test": 6,
    }
    for part in parts.values():
        assert part.class_names == ("cat", "dog")
        assert part.image_shape == (3, 12, 12)
        assert torch.equal(part.x[:, 0, 5, 5] > 0.5, part.y == 1)
    every = torch.cat([part.x for part in parts.values()])
    assert len({image.numpy().tobytes() for image in every}) == 30


def test_train_and_test_folders_are_obeyed(tmp_path):
    for part, count in (("train", 6), ("test", 1)):
        for name in ("a", "b", "c"):
            write(tmp_path / "own" / part / name, count)
    assert len(load_data("own", "test", root=tmp_path)) == 3
    assert len(load_data("own", "train", root=tmp_path)) == 15
    assert load_data("own", root=tmp_path).image_shape == (3, 32, 32)


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "train"):
        write(tmp_path / "traffic" / name, 5)
    assert load_data("traffic", root=tmp_path).class_names == ("bus", "train")


def test_pictures_are_decoded_once_until_they_change(flat, monkeypatch):
    first = load_data("pets", root=flat)
    with monkeypatch.context() as patch:
        patch.setattr("robust_core.data.image_folder.decode_pixels", None)
        assert torch.equal(load_data("pets", root=flat).x, first.x)
    write(flat / "pets" / "cat", 10, brightness=0.3, side=13)
    assert not torch.equal(load_data("pets", root=flat).x, first.x)


def test_a_data_folder_that_cannot_be_written_is_no_obstacle(flat, caplog):
    (flat / "cache").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert len(load_data("pets", root=flat)) == 6


def test_one_class_is_refused(tmp_path):
    write(tmp_path / "own" / "cat", 5)
    with pytest.raises(InputError, match="own: expected 2 to 1000 classes, got 1"):
        load_data("own", root=tmp_path)


def test_an_empty_class_is_refused(flat):
    (flat / "pets" / "eel").mkdir()
    with pytest.raises(InputError, match="pets: class 'eel' has no"):
        load_data("pets", root=flat)


def test_a_poor_class_is_refused(flat):
    write(flat / "pets" / "eel", 2)
    with pytest.raises(InputError, match="at least 3 pictures, 'eel' has 2"):
        load_data("pets", root=flat)


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "own" / "cat").mkdir(parents=True)
    with pytest.raises(InputError, match=r"own: expected pictures .* in class folders, found none"):
        load_data(str(tmp_path / "own"), root=tmp_path)


def test_different_classes_in_train_and_test_are_refused(tmp_path):
    write(tmp_path / "own" / "train" / "a", 3)
    write(tmp_path / "own" / "train" / "b", 3)
    write(tmp_path / "own" / "test" / "a", 3)
    with pytest.raises(InputError, match="must have the same class folders, got a, b and a"):
        load_data("own", root=tmp_path)


def test_a_corrupt_picture_is_named(flat):
    path = flat / "pets" / "cat" / "003.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"cat/003\.png: the picture is damaged"):
        for split in ("train", "test"):
            load_data("pets", split, root=flat)


def test_a_size_out_of_range_is_refused(flat):
    with pytest.raises(InputError, match="size must be <= 256, got 1000"):
        load_data("pets", "test", {"size": 1000}, root=flat)
