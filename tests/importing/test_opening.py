"""What is opened, what is refused, and that nothing in a file ever runs."""

import argparse
import collections
import pathlib
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from robust_core.errors import InputError
from robust_core.importing import opening
from robust_core.importing.opening import open_tensors

WEIGHTS = {"conv.weight": torch.arange(12.0).view(3, 4), "n": torch.tensor(3)}


class Harmless:
    """A class of one's own in a pickle; making one is noticed."""

    made = 0

    def __setstate__(self, state):
        type(self).made += 1


def saved(tmp_path, value, name="m.pt", **options):
    path = tmp_path / name
    torch.save(value, path, **options)
    return path


def same(found):
    assert found.keys() == WEIGHTS.keys()
    return all(torch.equal(found[key], value) for key, value in WEIGHTS.items())


@pytest.mark.parametrize("name", ["m.pt", "m.pth.tar", "checkpoint-7", "m.ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_come_through_under_any_name(tmp_path, name, zipped):
    path = saved(tmp_path, WEIGHTS, name, _use_new_zipfile_serialization=zipped)
    opened = open_tensors(path)
    assert same(opened.values) and not opened.stand_ins
    assert opened.format == ("PyTorch" if zipped else "PyTorch (before 1.6)")


def test_foreign_safetensors_come_through(tmp_path):
    save_file(WEIGHTS, tmp_path / "model.safetensors", {"format": "pt", "author": "someone"})
    opened = open_tensors(tmp_path / "model.safetensors")
    assert same(opened.values) and opened.format == "safetensors"
    assert opened.notes == ("The file also says something about: author.",)


@pytest.mark.parametrize("zipped", [True, False])
def test_metadata_of_training_scripts_is_replaced_by_inert_stand_ins(tmp_path, zipped):
    nested = collections.defaultdict(list)
    nested["a"] = [1]
    beside = {
        "args": argparse.Namespace(lr=0.1),
        "accuracy": np.float64(0.5),
        "folder": pathlib.PurePosixPath("/somewhere"),
        "log": nested,
        "state_dict": WEIGHTS,
    }
    opened = open_tensors(saved(tmp_path, beside, _use_new_zipfile_serialization=zipped))
    assert same(opened.values["state_dict"])
    assert isinstance(opened.values["args"], opening.StandIn)
    assert vars(opened.values["args"]) == {}  # nothing of the file is kept
    assert opened.values["log"] == {"a": [1]}
    assert {"argparse.Namespace", "collections.defaultdict"} <= set(opened.stand_ins)
    assert "argparse.Namespace" in opened.notes[0]
    allowed = torch.serialization.get_safe_globals()
    assert not any(isinstance(one, tuple) for one in allowed)  # it was for this file only


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Harmless(), "Harmless"),
        (nn.Sequential(nn.Linear(2, 2)), "torch.nn.modules.container.Sequential"),
        ({"w": np.zeros(3)}, "numpy"),
    ],
)
def test_what_needs_code_is_refused_by_name(tmp_path, zipped, value, named):
    path = saved(tmp_path, value, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"m\.pt needs code to open \(.*save_file\(") as caught:
        open_tensors(path)
    assert named in str(caught.value)
    assert Harmless.made == 0


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_is_refused_by_the_names_in_it(tmp_path, protocol):
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps({"a": Harmless()}, protocol))
    with pytest.raises(InputError, match=r"needs code to open \(.*Harmless"):
        open_tensors(path)
    assert Harmless.made == 0


def test_programs_are_refused(tmp_path):
    script = tmp_path / "script.pt"
    exported = tmp_path / "program.pt2"
    with zipfile.ZipFile(script, "w") as archive:
        archive.writestr("m/constants.pkl", b"")
        archive.writestr("m/data.pkl", b"")
    with zipfile.ZipFile(exported, "w") as archive:
        archive.writestr("program/archive_format", b"pt2")
    with pytest.raises(
        InputError, match=r"script\.pt is a TorchScript archive, which is a program"
    ):
        open_tensors(script)
    with pytest.raises(InputError, match=r"program\.pt2 is an exported program, which can run"):
        open_tensors(exported)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("m.pt", b"\n <!DOCTYPE html><html>", "is a web page, not a model: the download failed"),
        ("m.pt", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("m.pt", b"", "is empty"),
        ("m.pt", b"PK\x03\x04 no archive", "damaged, cut short or something else"),
        ("m.bin", b"\x7fELF", "damaged, cut short or something else"),
        ("m.safetensors", struct.pack("<Q", 2) + b"{]", "damaged or cut short"),
        ("m.pt", opening.TORCH_MAGIC, "damaged or cut short"),
    ],
)
def test_other_files_are_named(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        open_tensors(tmp_path / name)


def test_a_cut_file_is_damaged(tmp_path):
    data = saved(tmp_path, WEIGHTS).read_bytes()
    (tmp_path / "m.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="damaged"):
        open_tensors(tmp_path / "m.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_tensor_that_declares_more_than_it_holds_is_refused_before_arithmetic(tmp_path, zipped):
    huge = torch.zeros(1).expand(1 << 20, 1 << 18)  # 1 TiB, of one stored number
    path = saved(tmp_path, {"w": huge}, _use_new_zipfile_serialization=zipped)
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match=r"GiB of tensors in .* damaged or hostile"):
        open_tensors(path)


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}, 2))
        archive.writestr("m/data/0", bytes(1 << 20))
    with pytest.raises(InputError, match="declares"):
        open_tensors(tmp_path / "m.pt")


def test_files_beyond_the_limit_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "LARGEST_FILE", 100)
    with pytest.raises(InputError, match="should be at most"):
        open_tensors(saved(tmp_path, WEIGHTS))


def test_containers_that_hold_each_other_end(tmp_path):
    inner: list = []
    for _ in range(60):
        inner = [inner, inner]  # 2^60 ways to the innermost
    assert len(list(opening.all_tensors({"a": inner, "t": torch.zeros(1)}))) == 1
