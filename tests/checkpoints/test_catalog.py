import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import load, save

from robust_core.checkpoints import catalog, file
from robust_core.checkpoints.card import Card
from robust_core.checkpoints.catalog import (
    checkpoint_info,
    import_checkpoint,
    list_checkpoints,
    load_model,
    save_checkpoint,
)
from robust_core.checkpoints.file import rounded_to_half
from robust_core.checkpoints.table import markdown_table
from robust_core.errors import InputError
from robust_core.models.base import create_model
from tests.training.conftest import tiny_config

NAMES = tuple("0123456789")
CARD = Card.create(
    {
        "split": "test",
        "num_images": 360,
        "clean_accuracy": 0.975,
        "clean_interval": (0.96, 0.99),
        "robust": [
            {
                "attack": {"name": "pgd", "parameters": {"norm": "Linf", "epsilon": 0.1}},
                "accuracy": 0.8,
                "interval": (0.75, 0.85),
                "num_images": 360,
            }
        ],
        "epoch": 3,
        "seed": 0,
        "versions": {"torch": "2"},
    }
)


@pytest.fixture
def model():
    config = tiny_config()
    return create_model("small_cnn", (1, 32, 32), 10, config.model.parameters, seed=1)


@pytest.fixture
def path(checkpoints, model):
    folder = checkpoints / "pretrained"
    folder.mkdir()
    path = folder / "digits-test.safetensors"
    save_checkpoint(path, model, config=tiny_config(), class_names=NAMES, epoch=3, card=CARD)
    return path


def edited(data: bytes, change) -> bytes:
    """Return a checkpoint whose description went through `change`."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    document = json.loads(header["__metadata__"]["robust_core"])
    change(document, header)
    header["__metadata__"]["robust_core"] = json.dumps(document)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def test_round_trip(path, model) -> None:
    loaded = load_model("digits-test")
    x = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(x), model.eval()(x))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    info = checkpoint_info("digits-test")
    assert info.config == tiny_config()
    assert (info.image_shape, info.num_classes, info.class_names) == ((1, 32, 32), 10, NAMES)
    assert info.epoch == 3
    assert info.card.robust[0].accuracy == 0.8
    assert len(info.digest) == 64
    assert torch.equal(load_model(path)(x), loaded(x))


def test_channels_last_weights_are_saved_as_they_are(tmp_path, model) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.to(memory_format=torch.channels_last)
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, model, config=tiny_config(), class_names=NAMES, epoch=1, card=CARD)
    for key, value in load_model(path).state_dict().items():
        assert torch.equal(value, before[key])


def test_digest_follows_the_content(path, model) -> None:
    before = checkpoint_info("digits-test").digest
    torch.nn.init.zeros_(next(model.parameters()))
    save_checkpoint(path, model, config=tiny_config(), class_names=NAMES, epoch=4, card=CARD)
    assert checkpoint_info("digits-test").digest != before
    assert checkpoint_info("digits-test").epoch == 4


def test_lists_readable_files_only(path, checkpoints) -> None:
    data = path.read_bytes()
    run = checkpoints / "runs" / "some-run"
    run.mkdir(parents=True)
    (run / "best.safetensors").write_bytes(data)
    (path.parent / "broken.safetensors").write_bytes(data[:100])
    (path.parent / "empty.safetensors").touch()
    assert list_checkpoints() == ["digits-test", "runs/some-run"]


def test_listing_reads_headers_once(path, monkeypatch) -> None:
    list_checkpoints()
    monkeypatch.setattr(catalog, "parse_header", None)
    assert list_checkpoints() == ["digits-test"]


def test_unknown_name(path) -> None:
    with pytest.raises(InputError, match=r"did you mean 'digits-test'\?"):
        load_model("digit-test")
    with pytest.raises(InputError, match="unknown checkpoint"):
        load_model("a\0b")


class Bomb:
    def __reduce__(self):
        return (open, ("/tmp/must-not-exist", "w"))


def torch_file(tmp_path) -> bytes:
    torch.save({"a": Bomb()}, tmp_path / "bomb.pt")
    return (tmp_path / "bomb.pt").read_bytes()


def set_value(key, value):
    return lambda document, header: document.update({key: value})


def rename_tensor(document, header) -> None:
    key = next(key for key in header if key != "__metadata__")
    header["other"] = header.pop(key)


def reshape_tensor(document, header) -> None:
    key = next(key for key in header if len(header[key].get("shape", [])) == 4)
    header[key]["shape"] = header[key]["shape"][::-1]


def huge_network(document, header) -> None:
    document["config"]["model"] = {
        "name": "wide_resnet",
        "parameters": {"depth": 70, "widen_factor": 16},
    }


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data, _: data[: len(data) // 2], "damaged or cut short"),
        (lambda data, _: data[:200], "damaged, cut short or something else"),
        (lambda data, _: struct.pack("<Q", 100)[:4], "damaged, cut short or something else"),
        (lambda data, _: b"", "damaged, cut short or something else"),
        (lambda data, _: b"\x89PNG\r\n" * 100, "damaged, cut short or something else"),
        (lambda data, _: struct.pack("<Q", 2**62) + data[8:], "damaged, cut short"),
        (lambda data, _: struct.pack("<Q", 50) + b"{" * 100, "should be JSON"),
        (lambda data, _: save({"a": torch.zeros(2)}), "does not say of which network"),
        (lambda data, tmp: torch_file(tmp), "is a pickle"),
        (lambda data, _: pickle.dumps(Bomb()), "is a pickle"),
        (lambda data, _: edited(data, set_value("format", 9)), "should have format 1, got 9"),
        (lambda data, _: edited(data, set_value("extra", 1)), "unknown parameter 'extra'"),
        (lambda data, _: edited(data, set_value("class_names", ["a"])), "cannot be used"),
        (lambda data, _: edited(data, set_value("class_names", ["a", "b"])), "does not fit"),
        (lambda data, _: edited(data, set_value("image_shape", [3, 32, 32])), "does not fit"),
        (lambda data, _: edited(data, set_value("card", {"split": "x"})), "cannot be used"),
        (lambda data, _: edited(data, rename_tensor), "does not fit"),
        (lambda data, _: edited(data, reshape_tensor), "does not fit"),
        (lambda data, _: edited(data, huge_network), "does not fit|cannot be"),
    ],
)
def test_bad_files_give_one_sentence(path, tmp_path, damage, sentence) -> None:
    data = damage(path.read_bytes(), tmp_path)
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(data)
    with pytest.raises(InputError, match=sentence) as caught:
        load_model(bad)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=sentence):
        import_checkpoint("bad.safetensors", data)
    assert not any(name.startswith("imported/") for name in list_checkpoints())


@pytest.mark.parametrize(
    "robust", [[], [{"attack": {"name": "pgd", "parameters": {"num_restarts": [1]}}}]]
)
def test_a_card_must_hold_results_of_real_attacks(path, tmp_path, robust) -> None:
    card = CARD.model_dump(mode="json")
    with pytest.raises(InputError, match=r"robust|num_restarts"):
        Card.create(card | {"robust": [card["robust"][0] | one for one in robust]})
    change = set_value("card", card | {"robust": [card["robust"][0] | one for one in robust]})
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(edited(path.read_bytes(), change))
    with pytest.raises(InputError, match=r"robust|num_restarts"):
        checkpoint_info(wrong)


def test_weights_must_be_finite(path, model, tmp_path) -> None:
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = float("nan")
    save_checkpoint(path, model, config=tiny_config(), class_names=NAMES, epoch=3, card=CARD)
    with pytest.raises(InputError, match="finite weights"):
        load_model(path)


def test_pickle_by_name_is_refused_whatever_it_holds(path) -> None:
    with pytest.raises(InputError, match=r"model\.pt is a pickle"):
        import_checkpoint("model.pt", path.read_bytes())


def test_size_limit(path, monkeypatch) -> None:
    monkeypatch.setattr(file, "LARGEST_FILE", 1000)
    with pytest.raises(InputError, match="should be at most"):
        import_checkpoint("a.safetensors", path.read_bytes())
    with pytest.raises(InputError, match="should be at most"):
        load_model(path)


def test_import_stores_under_a_safe_name(path, checkpoints) -> None:
    data = path.read_bytes()
    name = import_checkpoint("../../some where/my model!.safetensors", data)
    assert name == "imported/my_model"
    assert (checkpoints / "imported" / "my_model.safetensors").read_bytes() == data
    assert name in list_checkpoints()
    assert import_checkpoint("my model!.safetensors", data) == name
    other = edited(data, set_value("epoch", 7))
    assert import_checkpoint("my model!.safetensors", other) == "imported/my_model-2"
    assert checkpoint_info("imported/my_model-2").epoch == 7


def test_model_is_usable_where_its_data_set_is_not(path, tmp_path) -> None:
    def own_data(document, header) -> None:
        document["config"]["data"] = {"name": "somebodys_set", "parameters": {}, "seed": 0}

    copy = tmp_path / "own.safetensors"
    copy.write_bytes(edited(path.read_bytes(), own_data))
    assert load_model(copy).num_classes == 10
    assert checkpoint_info(copy).config.data.name == "somebodys_set"


def test_markdown_table(path) -> None:
    text = markdown_table()
    assert "### digits" in text
    ball = "Linf, epsilon 25.5/255"
    number = "80.0\u00a0% PGD-20, n 360"
    clean, bounds = "97.5\u00a0%", "75.0\u00a0to\u00a085.0\u00a0%"
    assert (
        f"| `small_cnn` | `pgd_at` | {ball} | {clean} | {number} | {number} | not checked" in text
    )
    assert f"| the base network | PGD-20 | {ball} | the same | 80.0\u00a0% ({bounds})" in text


def test_tensors_survive_byte_for_byte(path, model) -> None:
    stored = load(path.read_bytes())
    assert all(torch.equal(stored[key], value) for key, value in model.state_dict().items())


def test_weights_that_half_precision_holds_take_half_the_room(path, model) -> None:
    size = path.stat().st_size
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(rounded_to_half(tensor))
        norm = model.get_parameter("classifier.bias")
        norm.fill_(1e-9)  # a vector stays what it is, too small for half precision or not
    save_checkpoint(path, model, config=tiny_config(), class_names=NAMES, epoch=3, card=CARD)
    loaded = load_model(path)
    assert path.stat().st_size < 0.6 * size
    for key, value in loaded.state_dict().items():
        assert value.dtype is model.state_dict()[key].dtype
        assert torch.equal(value, model.state_dict()[key])
