import logging

import numpy as np

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
