import os
import subprocess
import sys
import warnings

import pytest

from robust_core.command_line.main import COMMANDS, main


def test_help_of_every_command(capsys) -> None:
    assert main(["--help"]) == 0
    assert main([]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert command in out
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0


@pytest.mark.slow
def test_list(model, capsys) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for word in ("pgd", "trades", "small_cnn", "digits", "tiny", "runs:"):
        assert word in out
    assert main(["list", "checkpoints", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("### digits")


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("attacks", "square", ("num_queries", "(>= 1, <= 1e+06, default 5000)", "ECCV 2020")),
        ("methods", "pag", ("targets", "one of OI, CM, NN, SBG", "arXiv:2207.11378")),
        ("models", "small_cnn", ("width",)),
        ("data", "digits", ("parameters:\n  none",)),
    ],
)
def test_list_of_one_entry_has_its_parameters(kind, name, words, capsys) -> None:
    assert main(["list", kind, name]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in words)
    assert main(["list", kind, f"{name}x"]) == 2
    assert f"did you mean '{name}'?" in capsys.readouterr().err


def test_list_takes_a_name_of_what_has_parameters_only(capsys) -> None:
    assert main(["list", "runs", "x"]) == 2
    assert "parameters are those of attacks, methods, models, data" in capsys.readouterr().err


@pytest.mark.parametrize("torchrun", [False, True])
def test_leaving_writes_all_output_and_gives_the_exit_code(torchrun) -> None:
    code = (
        "import atexit, sys; from robust_core.command_line.main import leave; "
        "atexit.register(print, 'shut down'); sys.stdout.write('done '); leave(7)"
    )
    environment = {key: os.environ[key] for key in os.environ if key != "TORCHELASTIC_RUN_ID"}
    environment |= {"TORCHELASTIC_RUN_ID": "1"} if torchrun else {}
    left = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment
    )
    assert left.returncode == 7
    assert left.stdout.split() == (["done"] if torchrun else ["done", "shut", "down"])


def test_a_warning_is_one_sentence_without_a_place_in_the_source(model, capsys) -> None:
    shown = warnings.showwarning
    assert main(["attack", "bpda", "--model", model, "--num-steps", "1"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line.lower()]
    assert said == [
        "warning: the model names no part that masks its gradient and none was chosen: this is "
        "plain PGD"
    ]
    assert warnings.showwarning is shown, "whoever calls main has his own way to show warnings"
