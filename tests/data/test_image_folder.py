"""A person's own pictures, right and wrong."""

import logging

import pytest
import torch
from PIL import Image

from robust_core.data import data_preview, data_source, load_data, own_data
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


def test_a_class_of_the_test_folder_alone_is_refused(tmp_path):
    for part, names in (("train", "ab"), ("test", "abc")):
        for name in names:
            write(tmp_path / "own" / part / name, 3)
    with pytest.raises(InputError, match="own: test has a class folder 'c', the train pictures"):
        load_data("own", root=tmp_path)


def test_a_class_may_be_missing_in_the_test_folder_only(tmp_path):
    write(tmp_path / "own" / "train" / "a", 3)
    write(tmp_path / "own" / "train" / "b", 3)
    write(tmp_path / "own" / "test" / "a", 3)
    images = load_data("own", root=tmp_path)
    assert (images.class_names, images.y.tolist()) == (("a", "b"), [0, 0, 0])
    (tmp_path / "own" / "train" / "c").mkdir()
    with pytest.raises(InputError, match="own: class 'c' has no train images"):
        load_data("own", root=tmp_path)


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_a_validation_folder_is_used_and_train_is_not_divided(tmp_path, name):
    for part, count in (("train", 10), (name, 2), ("test", 3)):
        for label in "ab":
            write(tmp_path / "own" / part / label, count, brightness=0.1 * len(part))
    lengths = {
        split: {len(load_data("own", split, root=tmp_path, seed=seed)) for seed in (0, 1)}
        for split in ("train", "validation", "test")
    }
    assert lengths == {"train": {20}, "validation": {4}, "test": {6}}
    pixel = load_data("own", "validation", {"size": 12}, root=tmp_path).x[0, 0, 5, 5]
    assert pixel == pytest.approx(0.1 * len(name), abs=0.01)
    assert data_source("own", tmp_path).extent(tmp_path) == (20, 2)


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "validation"), ("train",)])
def test_without_a_test_folder_a_fixed_fifth_is_the_test_split(tmp_path, names):
    for part in names:
        for label in "ab":
            write(tmp_path / "own" / part / label, 10, side=32)
    test = load_data("own", root=tmp_path)
    train = load_data("own", "train", root=tmp_path)
    assert (len(test), len(train)) == (4, 16 if len(names) == 2 else 14)
    assert test.class_names == ("a", "b")
    assert "there is no test folder: a fixed fifth of the train pictures is the" in test.notes[0]


def test_two_validation_folders_are_refused(tmp_path):
    for part in ("train", "val", "valid", "test"):
        write(tmp_path / "own" / part / "a", 3)
    with pytest.raises(InputError, match="own: val and valid both hold validation pictures"):
        load_data("own", root=tmp_path)


def test_parts_without_class_folders_are_refused(tmp_path):
    write(tmp_path / "own" / "train", 3)
    write(tmp_path / "own" / "test", 3)
    with pytest.raises(InputError, match="one folder for each class in test, train, found none"):
        load_data("own", root=tmp_path)
    write(tmp_path / "lone" / "test" / "a", 3)
    with pytest.raises(InputError, match="lone: expected a train folder beside test"):
        load_data("lone", root=tmp_path)


def test_class_folders_are_walked_to_any_depth(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / "pets" / name, 3, brightness=0.2)
        write(tmp_path / "pets" / name / "2023" / "may", 4, brightness=0.8)
    write(tmp_path / "pets" / "dog" / ".thumbnails", 9)
    (tmp_path / "pets" / "cat" / "again").symlink_to(tmp_path / "pets")  # a link to above
    assert own_data(tmp_path) == ["pets"]
    parts = [load_data("pets", part, root=tmp_path) for part in ("train", "validation", "test")]
    assert sum(len(part) for part in parts) == 14
    assert sum((part.y == 0).sum() for part in parts) == 7
    write(tmp_path / "deep" / "a" / "b", 5)
    write(tmp_path / "deep" / "c" / "d", 5)
    assert own_data(tmp_path) == ["deep", "pets"]
    assert load_data("deep", root=tmp_path).class_names == ("a", "c")


def test_tiff_pictures_are_read_and_names_that_begin_with_a_dot_are_none(flat):
    cat = flat / "pets" / "cat"
    for number, suffix in enumerate(("tif", "TIFF")):
        Image.new("RGB", (12, 12), (number, 99, 0)).save(cat / f"x{number}.{suffix}", "TIFF")
    (cat / "._000.png").write_bytes(b"\0\5\x16\7 a Mac's own notes")
    parts = [load_data("pets", part, root=flat) for part in ("train", "validation", "test")]
    assert sum(int((part.y == 0).sum()) for part in parts) == 12


def test_what_is_left_out_is_counted_and_said(flat):
    pets = flat / "pets"
    (pets / "cat" / "._000.png").write_bytes(b"")
    (pets / ".DS_Store").write_bytes(b"")
    (pets / "labels.csv").write_text("")
    (pets / "dog" / "README").write_text("")
    write(pets, 4)
    expected = (
        "left out: 3 files of other kinds (.csv, .txt, without a suffix), "
        "2 files whose names begin with a dot, 4 files outside the class folders"
    )
    for part in ("train", "validation", "test"):
        assert load_data("pets", part, {"size": 12}, root=flat).notes == (expected,)
    assert previewed("pets", {"size": 12}, root=flat).notes == (expected,)


def test_the_sizes_of_the_pictures_and_the_size_used_are_said(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / "pets" / name, 5, side=32)
    assert load_data("pets", root=tmp_path).notes == ()
    used = "used at 16x16, the parameter size"
    assert load_data("pets", parameters={"size": 16}, root=tmp_path).notes == (
        f"pictures are 32x32 pixels; {used}",
    )
    for name, size in (("cat", (64, 48)), ("dog", (102, 76))):
        Image.new("RGB", size).save(tmp_path / "pets" / name / "large.jpg")
    for part in ("train", "test"):
        assert load_data("pets", part, {"size": 16}, root=tmp_path).notes == (
            f"pictures are 32x32 to 102x76 pixels; cut to squares and {used}",
        )


def test_one_class_folder_that_holds_the_classes_is_told(tmp_path):
    write(tmp_path / "own" / "pets" / "cat", 5)
    write(tmp_path / "own" / "pets" / "dog", 5)
    with pytest.raises(
        InputError, match=r"got 1 .'pets'.; if the folders in it .* give .*own/pets"
    ):
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


def previewed(name, parameters=None, **where):
    found = data_preview(name, parameters, **where)
    assert found is not None
    return found


def test_a_preview_shows_what_a_run_will_get(flat):
    sizes = {"size": 12}
    found = previewed("pets", sizes, root=flat, seed=3)
    for split in ("train", "validation", "test"):
        whole = load_data("pets", split, sizes, root=flat, seed=3)
        assert found.class_names == whole.class_names
        counts = torch.bincount(whole.y, minlength=whole.num_classes)
        assert found.counts[split].tolist() == counts.tolist()
    assert found.y.tolist() == list(range(len(found.class_names)))
    assert found.x.shape[1:] == (3, 12, 12)


def test_a_preview_finds_a_picture_that_cannot_be_read(flat):
    (flat / "pets" / "cat" / "zz_broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="zz_broken"):
        data_preview("pets", {"size": 12}, root=flat)


def test_only_a_persons_own_sets_have_a_preview():
    assert data_preview("digits") is None
