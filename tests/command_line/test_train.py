import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from robust_core.checkpoints.catalog import checkpoint_info, list_checkpoints
from robust_core.command_line.main import main
from robust_core.config.run import RunConfig
from robust_core.paths import REPOSITORY
from robust_core.training.directory import RunDirectory
from tests.training.conftest import tiny_config


@pytest.mark.slow
def test_train_from_a_recipe_with_settings_and_export(recipe, tmp_path, capsys) -> None:
    export = tmp_path / "pretrained" / "mine.safetensors"
    arguments = ["train", recipe, "--set", "epochs=1", "--set", "method.epsilon=8/255"]
    assert main([*arguments, "--export", str(export)]) == 0
    captured = capsys.readouterr()
    assert "finished after epoch 1" in captured.out
    config = checkpoint_info("mine").config
    assert isinstance(config, RunConfig)
    assert config.epochs == 1
    assert config.method.parameters["epsilon"] == pytest.approx(8 / 255)
    assert len(list_checkpoints()) == 2


@pytest.mark.slow
def test_train_into_a_directory_stop_and_resume(recipe, tmp_path, capsys) -> None:
    path = tmp_path / "somewhere" / "run"
    assert main(["train", recipe, "--run", str(path), "--progress"]) == 0
    assert RunDirectory(path).status().state == "finished"
    assert "training" in capsys.readouterr().err
    assert main(["train", recipe, "--run", str(path)]) == 2
    assert "should not exist yet" in capsys.readouterr().err
    assert main(["train", "--run", str(path)]) == 2
    assert "has finished" in capsys.readouterr().err


def test_quiet_failure_speaks_through_the_log_only(recipe, tmp_path, capsys) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.json").write_text("{")
    assert main(["train", "--quiet", "--run", str(path)]) == 2
    assert capsys.readouterr().err == ""
    assert any("should be JSON" in line for line in RunDirectory(path).log_tail())


def start_long_run(tmp_path: Path) -> tuple[subprocess.Popen, RunDirectory]:
    recipe = tmp_path / "long.json"
    recipe.write_text(tiny_config(epochs=10_000).to_json(), encoding="utf-8")
    run = RunDirectory(tmp_path / "run")
    command = [sys.executable, "-m", "robust_core", "train", str(recipe), "--run", str(run.path)]
    child = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        env=os.environ,
        # where the tests run in the background, the shell has told them to ignore Ctrl-C
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 120
    while not run.metrics() and time.monotonic() < deadline:
        time.sleep(0.05)
    return child, run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["term", "interrupt"]
)
def test_signals_save_and_stop(tmp_path, number, code) -> None:
    child, run = start_long_run(tmp_path)
    child.send_signal(number)
    _, err = child.communicate(timeout=120)
    assert child.returncode == code
    assert b"Traceback" not in err
    assert run.status().state == "stopped"
    assert run.status().epoch == len(run.metrics()) >= 1
