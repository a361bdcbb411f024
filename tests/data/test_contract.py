"""What holds for every data set that works without a network or a file."""

import pytest
import torch

from robust_core.data import DATA, ImageSet, data_source, list_data, load_data
from robust_core.data.augmentation import draw_change
from robust_core.errors import InputError

EMBEDDED = [name for name in list_data() if data_source(name).embedded]
SMALL = {"shapes": {"num_train": 300, "num_test": 100}}


def load(name: str, split: str, root, **choices) -> ImageSet:
    return load_data(name, split, SMALL.get(name), root=root, **choices)


def test_the_embedded_sets_and_the_benchmarks_are_known():
    assert set(EMBEDDED) == {"digits", "shapes"}
    benchmarks = {"mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "stl10"}
    assert set(list_data()) == benchmarks | set(EMBEDDED) | {"imagenet_samples"}


@pytest.mark.parametrize("name", list_data())
def test_every_source_describes_itself(name):
    source = data_source(name)
    assert source is DATA.get(name)
    assert source.name == name
    assert source.title
    trainable = name != "imagenet_samples"
    assert source.splits[:3] == (("train", "validation", "test") if trainable else ("test",))
    assert 0 < source.threat_model.epsilon <= 0.3
    x = torch.rand(2, 3, 16, 16)
    change = draw_change(source.augmentation, x.shape)
    assert change is None or change(x).shape == x.shape
    source.Parameters.create({})


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_split_is_well_formed(name, tmp_path):
    for split in data_source(name).splits:
        images = load(name, split, tmp_path)
        assert images.x.dtype == torch.float32
        assert images.x.shape == (len(images), *images.image_shape)
        assert images.x.min() >= 0 and images.x.max() <= 1
        assert torch.equal((images.x * 255).round() / 255, images.x)
        assert images.y.dtype == images.index.dtype == torch.int64
        assert images.y.shape == images.index.shape == (len(images),)
        assert (images.y.bincount(minlength=images.num_classes) > 0).all()
        assert len(set(images.index.tolist())) == len(images)


@pytest.mark.parametrize("name", EMBEDDED)
def test_train_and_validation_divide_one_file_by_the_seed(name, tmp_path):
    splits = {
        seed: [set(load(name, part, tmp_path, seed=seed).index.tolist()) for part in parts]
        for seed in (0, 1)
        for parts in [("train", "validation")]
    }
    for train, validation in splits.values():
        assert not train & validation
        assert train | validation == set(range(len(train) + len(validation)))
    assert splits[0] != splits[1]


@pytest.mark.parametrize("name", EMBEDDED)
def test_loading_again_gives_the_same_and_the_test_split_ignores_the_seed(name, tmp_path):
    first, again = (load(name, "train", tmp_path / part, seed=3) for part in ("a", "b"))
    assert torch.equal(first.x, again.x) and torch.equal(first.y, again.y)
    assert torch.equal(first.index, again.index)
    tests = [load(name, "test", tmp_path, seed=seed) for seed in (0, 1)]
    assert torch.equal(tests[0].x, tests[1].x)


@pytest.mark.parametrize("name", EMBEDDED)
def test_no_training_image_is_a_test_image(name, tmp_path):
    parts = ("train", "validation")
    seen = {image.numpy().tobytes() for part in parts for image in load(name, part, tmp_path).x}
    assert not any(image.numpy().tobytes() in seen for image in load(name, "test", tmp_path).x)


@pytest.mark.parametrize("name", list_data())
def test_unknown_choices_are_refused(name, tmp_path):
    with pytest.raises(InputError, match=f"unknown split of {name} 'tset' .did you mean 'test'"):
        load_data(name, "tset", root=tmp_path)
    with pytest.raises(InputError, match="unknown parameter 'colour'"):
        load_data(name, "test", {"colour": 1}, root=tmp_path)


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_negative_seed_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="seed must be >= 0, got -1"):
        load(name, "train", tmp_path, seed=-1)
