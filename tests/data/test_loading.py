"""Names, image ids and subsets."""

import numpy as np
import pytest
import torch

from robust_core.data import data_source, find_image, load_data, own_data
from robust_core.data.images import encode_png
from robust_core.errors import InputError


def write_npz(path, num_images=8):
    x = np.arange(num_images, dtype=np.uint8)[:, None, None] * np.ones((8, 8), dtype=np.uint8)
    y = np.arange(num_images) % 2
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)


def write_folder(path, num_images=4):
    for name in ("cat", "dog"):
        (path / name).mkdir(parents=True)
        for number in range(num_images):
            picture = encode_png(torch.full((3, 8, 8), number / 255))
            (path / name / f"{number}.png").write_bytes(picture)


def test_an_image_id_finds_its_image_again():
    images = load_data("digits", "validation", seed=4)
    assert images.image_id(7) == f"digits/validation/{images.index[7]}"
    found = find_image(images.image_id(7), seed=4)
    assert torch.equal(found.x[0], images.x[7])
    assert found.y.tolist() == [images.y[7]]
    assert found.image_id(0) == images.image_id(7)


@pytest.mark.parametrize(
    "image_id", ["", "17", "digits/17", "digits/test/", "digits/test/-1", "/test/1"]
)
def test_a_malformed_image_id_is_refused(image_id):
    with pytest.raises(InputError, match="an image id looks like 'digits/test/17', got"):
        find_image(image_id)


@pytest.mark.parametrize("index", ["360", "9" * 40])
def test_an_image_that_is_not_there_is_refused(index):
    with pytest.raises(InputError, match=rf"digits/test has no image {index} .its largest is 359"):
        find_image(f"digits/test/{index}")


def test_a_subset_keeps_what_belongs_together():
    images = load_data("digits")
    for indices in ([5, 2], torch.tensor([5, 2])):
        part = images.subset(indices)
        assert torch.equal(part.x, images.x[[5, 2]])
        assert part.index.tolist() == [5, 2]
        assert part.image_id(0) == images.image_id(5)
    assert len(images.subset([])) == 0
    assert len(images.subset(slice(10))) == 10
    assert (images.subset(images.y == 3).y == 3).all()


def test_own_sets_in_the_data_folder_have_names(tmp_path):
    write_npz(tmp_path / "birds.npz")
    write_npz(tmp_path / "mnist.npz")
    write_folder(tmp_path / "pets")
    (tmp_path / "cache").mkdir()
    (tmp_path / "notes" / "more").mkdir(parents=True)
    (tmp_path / "notes" / "more" / "todo.txt").write_text("tidy up")
    assert own_data(tmp_path) == ["birds", "pets"]
    assert own_data(tmp_path / "nowhere") == []
    assert load_data("birds", root=tmp_path).image_id(3) == "birds/test/3"
    assert load_data("pets", root=tmp_path).image_shape == (3, 32, 32)
    assert data_source("pets", tmp_path).is_available()


def test_a_path_is_a_name(tmp_path):
    write_npz(tmp_path / "birds.npz")
    write_folder(tmp_path / "pets")
    root = tmp_path / "data"
    images = load_data(str(tmp_path / "birds.npz"), root=root)
    assert torch.equal(find_image(images.image_id(2), root=root).x[0], images.x[2])
    assert load_data(str(tmp_path / "pets"), root=root).class_names == ("cat", "dog")


@pytest.mark.parametrize("name", ["", "digit", "cache", ".."])
def test_an_unknown_name_is_refused(name, tmp_path):
    (tmp_path / "cache").mkdir()
    with pytest.raises(InputError, match=rf"unknown data set '{name}'.*known: cifar10, "):
        load_data(name, root=tmp_path)


def test_a_set_that_is_there_but_does_not_fit_says_why(tmp_path, monkeypatch):
    (tmp_path / "loose").mkdir()
    picture = encode_png(torch.zeros(3, 8, 8))
    (tmp_path / "loose" / "a.png").write_bytes(picture)
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    (tmp_path / "birds.zip").write_bytes(b"")
    write_npz(tmp_path / "pets.npz")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    reasons = {
        "loose": "loose: expected pictures .* in class folders, found 1 outside of any",
        "empty": "empty: expected pictures .* in class folders, found none",
        "birds": "birds.zip in the data folder is of another kind: expected birds.npz or a folder",
        "birds.zip": "birds.zip in the data folder is of another kind: expected birds.npz or a",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=reason):
            data_source(name, tmp_path)
    with pytest.raises(InputError, match=r"has no 'loose'; the path of the one here is \./loose"):
        load_data("loose", root=tmp_path / "data")
    with pytest.raises(InputError, match=r"is in the data folder, where its name is 'pets'"):
        monkeypatch.chdir(tmp_path / "data")
        load_data("pets.npz", root=tmp_path)
    with pytest.raises(InputError, match=r"at .*birds\.zip, which is a file of another kind"):
        load_data(str(tmp_path / "birds.zip"), root=tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"expected an npz file with x_train.* at .*a\.npz"):
        load_data(str(tmp_path / "a.npz"))
    with pytest.raises(InputError, match=r"expected a folder with one folder for each class at"):
        load_data(str(tmp_path / "nowhere"))


def test_a_sample_of_a_set_sorted_by_class_has_every_class():
    images = load_data("digits", "train")
    images = images.subset(torch.argsort(images.y, stable=True))
    assert images.subset(slice(100)).y.unique().tolist() == [0]
    sample = images.sample(100)
    share = torch.bincount(images.y) * 100 / len(images)
    assert (torch.bincount(sample.y, minlength=10) - share).abs().max() < 1
    assert torch.equal(sample.index, images.sample(100).index)
    assert torch.equal(sample.index[:10], images.sample(10).index)
    assert not torch.equal(sample.index, images.sample(100, seed=1).index)
    assert images.image_id(0) == f"digits/train/{images.index[0]}"
    assert images.sample(len(images)) is images.sample(10**6) is images


def test_a_sample_has_at_least_one_image():
    with pytest.raises(InputError, match="num_images must be at least 1, got 0"):
        load_data("digits").sample(0)
