import logging
import os
import time

import numpy as np

from robust_core.data import cache
from robust_core.data.cache import cached_arrays


def make(calls):
    calls.append(1)
    return {"x": np.arange(5)}


def test_made_once_for_a_key(tmp_path):
    calls = []
    for key in (1, 1, 2):
        arrays = cached_arrays(tmp_path / "cache", "name", [key], lambda: make(calls))
        assert arrays["x"].tolist() == [0, 1, 2, 3, 4]
    assert len(calls) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_file_is_made_again(tmp_path, caplog):
    calls = []
    cached_arrays(tmp_path, "name", 1, lambda: make(calls))
    (path,) = tmp_path.iterdir()
    for content in (path.read_bytes()[:100], b"", b"no archive"):
        path.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            cached_arrays(tmp_path, "name", 1, lambda: make(calls))
        assert "making it again" in caplog.text
    assert len(calls) == 4
    cached_arrays(tmp_path, "name", 1, lambda: make(calls))
    assert len(calls) == 4


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_args, **_choices):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", fail)
    assert cached_arrays(tmp_path, "name", 1, lambda: make([]))["x"].tolist() == [0, 1, 2, 3, 4]
    assert not list(tmp_path.iterdir())


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_oldest_go_when_the_cache_is_full_but_nothing_that_is_in_use(tmp_path, monkeypatch):
    for number in range(4):
        cached_arrays(tmp_path, str(number), number, lambda: make([]))
    files = {path.name[0]: path for path in tmp_path.iterdir()}
    for name, minutes in {"0": 90, "1": 60, "2": 30, "3": 1}.items():
        age(files[name], 60 * minutes)
    left_behind = tmp_path / "killed.part"
    left_behind.write_bytes(b"half")
    age(left_behind, 3600)
    cached_arrays(tmp_path, "0", 0, lambda: make([]))  # which is of use again
    size = files["0"].stat().st_size
    monkeypatch.setattr(cache, "LARGEST", 4 * size)
    cached_arrays(tmp_path, "4", 4, lambda: make([]))
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["0", "2", "3", "4"]
    monkeypatch.setattr(cache, "LARGEST", size)
    cached_arrays(tmp_path, "5", 5, lambda: make([]))
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["0", "3", "4", "5"]


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "LARGEST", 10)
    assert cached_arrays(tmp_path, "x", 1, lambda: make([]))["x"].tolist() == [0, 1, 2, 3, 4]
    assert not list(tmp_path.iterdir())
