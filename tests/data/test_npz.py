"""A person's own arrays, right and wrong."""

import pickle
import zipfile

import numpy as np
import pytest
import torch

from robust_core.data import data_preview, data_source, load_data
from robust_core.errors import InputError


def arrays(num_images=20, num_classes=2, shape=(8, 8, 3)):
    x = np.random.default_rng(0).integers(0, 256, (num_images, *shape), dtype=np.uint8)
    y = np.arange(num_images) % num_classes
    return {"x_train": x, "y_train": y, "x_test": x[::-1].copy(), "y_test": y[::-1].copy()}


def load(tmp_path, content, split="test"):
    np.savez(tmp_path / "own.npz", **content)
    return load_data("own", split, root=tmp_path)


def test_colour_images(tmp_path):
    content = arrays()
    images = load(tmp_path, {**content, "class_names": np.array(["cat", "dog"]), "more": [1]})
    assert images.class_names == ("cat", "dog")
    expected = torch.from_numpy(content["x_test"]).permute(0, 3, 1, 2) / 255
    assert torch.equal(images.x, expected)
    assert images.x.is_contiguous()
    assert images.y.tolist() == content["y_test"].tolist()


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1)])
@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_grey_images_and_labels_of_any_integer_type(tmp_path, shape, kind):
    content = arrays(shape=shape)
    content["y_train"] = content["y_train"].astype(kind)[:, None]
    train, validation = (load(tmp_path, content, split) for split in ("train", "validation"))
    assert train.image_shape == (1, 8, 9)
    assert train.class_names == ("0", "1")
    assert (len(train), len(validation)) == (18, 2)
    for part in (train, validation):
        pixels = content["x_train"].reshape(-1, 1, 8, 9)[part.index.numpy()]
        assert torch.equal(part.x, torch.from_numpy(pixels) / 255)


def test_a_compressed_archive_is_read(tmp_path):
    np.savez_compressed(tmp_path / "own.npz", **arrays())
    assert len(load_data("own", root=tmp_path)) == 20


def test_a_class_may_be_missing_in_the_test_part_only(tmp_path):
    content = arrays(num_classes=3)
    content["y_test"] = np.arange(20) % 2
    parts = {name: load(tmp_path, content, name) for name in ("train", "validation", "test")}
    assert all(part.class_names == ("0", "1", "2") for part in parts.values())
    assert parts["test"].y.unique().tolist() == [0, 1]
    assert parts["test"].sample(4).y.bincount(minlength=3).tolist() == [2, 2, 0]


@pytest.mark.parametrize("names", ["ours", "medmnist"])
def test_a_validation_part_is_used_and_the_train_part_not_divided(tmp_path, names):
    content = arrays()
    content |= {"x_val": content["x_train"][:5] // 2, "y_val": np.array([0, 1, 0, 1, 1])[:, None]}
    if names == "medmnist":
        kinds = {"x": "images", "y": "labels"}
        content = {f"{key[2:]}_{kinds[key[0]]}": value for key, value in content.items()}
    train, validation, test = (
        load(tmp_path, content, split) for split in ("train", "validation", "test")
    )
    assert (len(train), len(validation), len(test)) == (20, 5, 20)
    assert validation.y.tolist() == [0, 1, 0, 1, 1]
    assert not validation.notes
    expected = torch.from_numpy(arrays()["x_train"][:5] // 2).permute(0, 3, 1, 2) / 255
    assert torch.equal(validation.x, expected)
    assert data_source("own", tmp_path).extent(tmp_path) == (20, 2)


def test_labels_of_several_classes_an_image_are_refused(tmp_path):
    x = np.zeros((4, 8, 8), np.uint8)
    content = {"train_images": x, "train_labels": np.zeros((4, 14), np.uint8)}
    content |= {"test_images": x, "test_labels": np.zeros((4, 14), np.uint8)}
    with pytest.raises(InputError, match="train_labels must be 4 integers, one for each image"):
        load(tmp_path, content)


def test_the_images_a_run_trains_on_are_counted_and_other_arrays_named(tmp_path):
    images = load(tmp_path, {**arrays(30), "meta": np.zeros(3), "age": np.zeros(2)}, "train")
    assert data_source("own", tmp_path).extent(tmp_path) == (len(images), 2) == (27, 2)
    assert images.notes == ("left out: the arrays age, meta of own.npz",)


WRONG = {
    "missing": ({"y_test": None}, "y_test is missing"),
    "float": (
        {"x_train": np.zeros((20, 8, 8))},
        r"x_train must be uint8 \(0 to 255\), got float64",
    ),
    "flat": (
        {"x_test": np.zeros((20, 64), np.uint8)},
        r"x_test must be \[N,H,W\].*got uint8 \[20, 64\]",
    ),
    "channels": (
        {"x_test": np.zeros((20, 3, 8, 8), np.uint8)},
        r"C 1 or 3, got uint8 \[20, 3, 8, 8\]",
    ),
    "tiny": ({"x_train": np.zeros((20, 4, 4), np.uint8)}, "8 to 512 pixels a side"),
    "huge": ({"x_train": np.zeros((20, 8, 600), np.uint8)}, "8 to 512 pixels a side"),
    "shapes": (
        {"x_test": np.zeros((20, 9, 9, 3), np.uint8)},
        r"one shape, got \[8, 8, 3\] and \[9, 9, 3\]",
    ),
    "none": ({"x_test": np.zeros((0, 8, 8, 3), np.uint8), "y_test": np.zeros(0, int)}, "no images"),
    "count": ({"y_train": np.arange(19) % 2}, r"y_train must be 20 integers.*got int64 \[19\]"),
    "one-hot": ({"y_train": np.eye(2, dtype=int)[[0] * 20]}, "y_train must be 20 integers"),
    "float labels": ({"y_test": np.zeros(20)}, "y_test must be 20 integers.*got float64"),
    "negative": (
        {"y_test": np.arange(20) % 2 - 1},
        "those that occur are -1, 0, 1: number the classes 0 to 2",
    ),
    "from one": (
        {"y_train": np.arange(20) % 3 + 1, "y_test": np.arange(20) % 3 + 1},
        "labels must count from 0 without gaps, those that occur are 1, 2, 3: subtract 1 from all",
    ),
    "gaps": (
        {"y_train": np.arange(20) % 3 * 5, "y_test": np.arange(20) % 2 * 5},
        r"those that occur are 0, 5, 10: number the classes 0 to 2, as np.unique\(y, return_inv",
    ),
    "named from one": (
        {"class_names": np.array(["a", "b"]), "y_train": np.arange(20) % 2 + 1},
        r"must be in \[0, 1\], got 1 to 2: subtract 1 from all of them",
    ),
    "half a validation part": ({"x_val": np.zeros((2, 8, 8, 3), np.uint8)}, "y_val is missing"),
    "beyond": (
        {"class_names": np.array(["a", "b"]), "y_train": np.arange(20) % 3},
        r"labels of the train images must be in \[0, 1\], got 0 to 2",
    ),
    "one class": (
        {"y_train": np.zeros(20, int), "y_test": np.zeros(20, int)},
        "expected 2 to 1000 classes, got 1",
    ),
    "many classes": (
        {"x_train": np.zeros((1001, 8, 8, 3), np.uint8), "y_train": np.arange(1001)},
        "expected 2 to 1000 classes, got 1001",
    ),
    "empty class": ({"y_train": np.zeros(20, int)}, "class '1' has no train images"),
    "unused name": ({"class_names": np.array(["a", "b", "c"])}, "class 'c' has no train images"),
    "names": (
        {"class_names": np.array([1, 2])},
        "class_names must be at most 1000 strings, got int64",
    ),
    "long name": ({"class_names": np.array(["a" * 101, "b"])}, "at most 100 characters"),
    "pickled": ({"x_train": np.array([{}], object)}, r"x_train holds Python objects \(pickled\)"),
    "pickled names": (
        {"class_names": np.array(["a", "b"], object)},
        "class_names holds Python objects",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_refused(case, tmp_path):
    change, message = WRONG[case]
    content = {key: value for key, value in {**arrays(), **change}.items() if value is not None}
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, content)
    assert "own.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_a_class_of_one_training_image_cannot_be_divided(tmp_path):
    content = arrays()
    content["y_train"] = np.array([0] * 19 + [1])
    assert len(load(tmp_path, content, "test")) == 20
    with pytest.raises(InputError, match="at least 2 images to be split, class '1' has 1"):
        load(tmp_path, content, "train")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled!",))


@pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps(Bomb())])
def test_what_is_no_archive_is_refused(content, tmp_path):
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"own\.npz is no npz file or is damaged"):
        load_data("own", root=tmp_path)


def test_a_truncated_archive_is_refused(tmp_path):
    np.savez(tmp_path / "own.npz", **arrays())
    whole = (tmp_path / "own.npz").read_bytes()
    for share in (0.1, 0.5, 0.95):
        (tmp_path / "own.npz").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match="is no npz file or is damaged"):
            load_data("own", root=tmp_path)


def test_damaged_bytes_are_refused_or_read(tmp_path):
    generator = np.random.default_rng(0)
    np.savez_compressed(tmp_path / "own.npz", **arrays())
    whole = (tmp_path / "own.npz").read_bytes()
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] ^= 0xFF
        (tmp_path / "own.npz").write_bytes(damaged)
        try:
            assert load_data("own", root=tmp_path).image_shape == (3, 8, 8)
        except InputError as error:
            assert "own.npz" in str(error)


def test_a_claim_of_too_many_pixels_is_refused_before_reading(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        for key, value in arrays().items():
            with archive.open(f"{key}.npy", "w") as member:
                if key == "x_train":
                    header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64)}
                    np.lib.format.write_array_header_1_0(member, header)
                else:
                    np.lib.format.write_array(member, value)
    with pytest.raises(InputError, match="x_train may have at most 536870912 values"):
        load_data("own", root=tmp_path)


@pytest.mark.parametrize("stray", [2**32 - 1, 2**62])
def test_one_stray_label_is_told_before_names_are_made_for_all(tmp_path, stray):
    content = arrays()
    content["y_train"] = content["y_train"].astype(np.uint64)
    content["y_train"][3] = stray
    with pytest.raises(InputError, match=f"those that occur are 0, 1, {stray}: number the classes"):
        load(tmp_path, content)


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_member_is_refused(tmp_path, compression):
    np.savez(tmp_path / "plain.npz", **arrays())
    path = tmp_path / "own.npz"
    plain = zipfile.ZipFile(tmp_path / "plain.npz")
    with plain as source, zipfile.ZipFile(path, "w", compression) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
        place = archive.getinfo("x_train.npy").header_offset + 80
    content = bytearray(path.read_bytes())
    content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load_data("own", root=tmp_path)


def test_a_header_cut_short_is_refused(tmp_path):
    np.savez(tmp_path / "own.npz", **arrays())
    path = tmp_path / "own.npz"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(20, 8, 8, 3), }", b"(20, 8, 8, 3    "))
    assert path.read_bytes() != whole
    with pytest.raises(InputError, match=r"own\.npz is no npz file or is damaged"):
        load_data("own", root=tmp_path)


@pytest.mark.parametrize("name", ["~nosuchuser/x.npz", "/" + 5000 * "a", 5000 * "a" + ".npz"])
def test_a_path_that_cannot_be_is_one_sentence(name):
    with pytest.raises(InputError, match="cannot be looked for"):
        load_data(name)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_preview_shows_what_a_run_will_get(tmp_path, save, order):
    content = arrays(num_classes=3)
    content["x_train"] = np.asarray(content["x_train"], order=order)
    save(tmp_path / "own.npz", **content, more=[1])
    found = data_preview("own", root=tmp_path, seed=2)
    assert found is not None and found.notes == ("left out: the arrays more of own.npz",)
    for split in ("train", "validation", "test"):
        whole = load_data("own", split, root=tmp_path, seed=2)
        assert found.counts[split].tolist() == torch.bincount(whole.y, minlength=3).tolist()
    assert found.y.tolist() == [0, 1, 2]
    expected = content["x_train"][:3].transpose(0, 3, 1, 2)  # the first of each class
    assert np.array_equal(found.x, expected)


def test_a_preview_says_what_is_wrong_before_anything_is_trained(tmp_path):
    content = arrays()
    np.savez(tmp_path / "own.npz", **{**content, "x_train": content["x_train"] / 255})
    with pytest.raises(InputError, match="x_train must be uint8"):
        data_preview("own", root=tmp_path)
