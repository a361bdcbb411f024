"""Precision, layout and threads of a run: measured where it begins, kept where it goes on."""

import json
from pathlib import Path

import pytest
import torch

from robust_core.errors import InputError
from robust_core.training import arrangement
from robust_core.training.arrangement import Arrangement, arrange, as_configured
from robust_core.training.directory import RunDirectory
from robust_core.training.trainer import train
from tests.training.conftest import tiny_config
from tests.training.stops import stop_at_call

CPU = torch.device("cpu")
EXTENT = ((1, 32, 32), 10)
LONG = arrangement.WORTH


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        arrangement, "measurements_file", lambda key: tmp_path / f"{hash(repr(key))}.json"
    )
    return tmp_path


def figures(monkeypatch: pytest.MonkeyPatch, **milliseconds: float) -> None:
    found = {name.replace("_", " "): value for name, value in milliseconds.items()}
    monkeypatch.setattr(arrangement, "_measure", lambda config, shape, number, ways: found)


def chosen(**changes) -> tuple[str, bool]:
    found = arrange(tiny_config(epochs=1, **changes), *EXTENT, LONG, CPU)
    return found.precision, found.channels_last


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        ({"float32": 10, "float32_channels_last": 9.8, "bfloat16": 9.5}, ("float32", False)),
        ({"float32": 10, "float32_channels_last": 9.0, "bfloat16": 8.5}, ("float32", True)),
        ({"float32": 10, "float32_channels_last": 9.0, "bfloat16": 5.0}, ("bfloat16", True)),
        ({"float32": 10, "bfloat16": 30.0}, ("float32", False)),
    ],
)
def test_what_gains_enough_is_chosen(monkeypatch, milliseconds, expected):
    figures(monkeypatch, **milliseconds)
    assert chosen() == expected


def test_what_the_configuration_says_is_not_measured(monkeypatch):
    figures(monkeypatch)  # a choice among no figures would fail
    assert chosen(precision="bfloat16", channels_last=False) == ("bfloat16", False)
    assert chosen(precision="float32", channels_last=True) == ("float32", True)
    short = arrange(tiny_config(epochs=1), *EXTENT, LONG - 1, CPU)
    assert (short.precision, short.channels_last, short.milliseconds) == ("float32", False, {})


@pytest.mark.slow
def test_a_step_is_timed_in_every_way_that_is_safe():
    found = arrange(tiny_config(epochs=1), *EXTENT, LONG, CPU)
    assert found.milliseconds.keys() == set(arrangement.WAYS)
    assert min(found.milliseconds.values()) > 0
    assert found.threads == torch.get_num_threads() and found.processor
    narrow = {"name": "preact_resnet18", "parameters": {"width": 4}}
    found = arrange(tiny_config(epochs=1, model=narrow), *EXTENT, LONG, CPU)
    assert "float32 channels last" not in found.milliseconds  # torch would corrupt memory


def test_figures_are_kept_for_other_runs(monkeypatch):
    first = arrange(tiny_config(epochs=1), *EXTENT, LONG, CPU)
    monkeypatch.setattr(arrangement, "_measure", None)
    assert arrange(tiny_config(epochs=1), *EXTENT, LONG, CPU) == first


def test_measuring_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    arrange(tiny_config(epochs=1), *EXTENT, LONG, CPU)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_resumed_run_keeps_what_it_began_with(monkeypatch):
    run = RunDirectory.create(tiny_config())
    train(run=run, should_stop=stop_at_call(2 + 5 + 2))
    path = run.path / arrangement.FILE
    began = Arrangement.create(json.loads(path.read_text()))
    assert began == as_configured(tiny_config(), CPU)
    other = began.model_copy(update={"precision": "bfloat16", "channels_last": True})
    path.write_text(other.model_dump_json())
    train(run=run)
    assert Arrangement.create(json.loads(path.read_text())) == other
    assert any("passes in bfloat16 channels last" in line for line in run.log_tail())
    assert not any("bit for bit" in line for line in run.log_tail())


@pytest.mark.slow
def test_threads_are_kept_unless_the_person_says_others():
    before = torch.get_num_threads()
    run = RunDirectory.create(tiny_config())
    train(run=run, should_stop=stop_at_call(2 + 5 + 2), threads=1)
    train(run=run, should_stop=stop_at_call(2 + 2), threads=2)
    assert any("began with 1 threads on" in line for line in run.log_tail())
    assert any("bit for bit" in line for line in run.log_tail())
    assert torch.get_num_threads() == before
    train(run=run)
    assert "1 thread on" in next(line for line in run.log_tail()[::-1] if "passes in" in line)


@pytest.mark.slow
def test_a_damaged_file_is_one_sentence():
    run = RunDirectory.create(tiny_config())
    train(run=run, should_stop=stop_at_call(2 + 5 + 2))
    (run.path / arrangement.FILE).write_text('{"threads": "many"}')
    with pytest.raises(InputError, match="threads"):
        train(run=run)
