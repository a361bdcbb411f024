import json
import signal
import subprocess
import sys
import time

import pytest

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.command_line.evaluation_report import result_lines
from robust_core.command_line.main import main
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationStatus
from robust_core.paths import REPOSITORY


@pytest.mark.slow
def test_evaluate_reports_and_writes_json_and_csv(model, tmp_path, capsys) -> None:
    path, table = tmp_path / "report.json", tmp_path / "table.csv"
    arguments = ["evaluate", "--model", model, "--attack", "fgsm", "--num-images", "20"]
    files = ["--json", str(path), "--csv", str(table)]
    assert main([*arguments, "--epsilon", "0.05", "--curve", "epsilon=0,6/255", *files]) == 0
    result = json.loads(path.read_text())["results"][0]
    found = result["attacks"][0]
    assert (result["num_images"], found["attack"]["parameters"]["epsilon"]) == (20, 0.05)
    assert found["curves"][0]["values"] == [0.0, pytest.approx(6 / 255)]
    assert result["digest"] == checkpoint_info(model).digest
    assert len(table.read_text().splitlines()) == 21
    out = capsys.readouterr().out
    assert found["checks"] == "not checked"
    for word in (
        "clean",
        "robust",
        "curve",
        "95\u00a0% interval",
        "finished",
        "checks    not checked",
    ):
        assert word in out
    assert main(["evaluate", "--model", model, "--attack", "none", "--num-images", "5"]) == 0
    assert "robust" not in capsys.readouterr().out


@pytest.mark.slow
def test_evaluate_says_whether_the_number_can_be_trusted(model, tmp_path, capsys) -> None:
    path = tmp_path / "report.json"
    arguments = ["--attack", "pgd", "--num-images", "4", "--num-steps", "2", "--check"]
    assert main(["evaluate", "--model", model, *arguments, "--json", str(path)]) == 0
    out = capsys.readouterr().out
    (found,) = json.loads(path.read_text())["results"][0]["attacks"]
    severities = {finding["severity"] for finding in found["findings"]}
    worst = next(one for one in ("fail", "warn", "ok") if one in severities)
    words = {"fail": "fail: ", "warn": "warning: ", "ok": "pass"}
    assert found["checks"].startswith(words[worst])
    assert f"checks    {found['checks']}" in out and "not checked" not in out


@pytest.mark.slow
def test_a_number_whose_checks_are_missing_is_not_yet_checked(model, tmp_path, capsys) -> None:
    directory = tmp_path / "evaluation"
    arguments = ["--attack", "fgsm", "--num-images", "4", "--check", "--run", str(directory)]
    assert main(["evaluate", "--model", model, *arguments]) == 0
    assert "not yet run" not in capsys.readouterr().out
    (directory / "units" / "0-reliability-0-0.json").unlink()
    (result,) = EvaluationDirectory(directory).results().checkpoints
    assert "checks    not yet run" in result_lines(result, {one.label for one in result.attacks})


def test_evaluate_several_attacks_shows_the_worst_case_and_takes_the_standard_ball(
    model, tmp_path, capsys
) -> None:
    path = tmp_path / "pretrained" / "tiny.safetensors"
    attacks = ["--attack", "fgsm", "--attack", "random_search", "--num-images", "5"]
    assert main(["evaluate", "--model", str(path), *attacks, "--seed", "3", "--progress"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("Linf, epsilon 25.5/255, seed 3") == 2
    assert "worst case" in captured.out
    assert "starting" in captured.err


def test_evaluate_mixes_attacks_of_several_balls(model, capsys) -> None:
    attacks = ["--attack", "fgsm", "--attack", "spatial", "--num-images", "2"]
    assert main(["evaluate", "--model", model, *attacks, "--epsilon", "6/255"]) == 0
    out = capsys.readouterr().out
    assert "fgsm, Linf, epsilon 6/255" in out
    assert "spatial, Linf, epsilon 255/255" in out


@pytest.mark.slow
def test_evaluate_goes_on_with_what_was_stopped(model, tmp_path, capsys) -> None:
    directory = tmp_path / "somewhere" / "evaluation"
    arguments = ["--attack", "fgsm", "--num-images", "8", "--batch-size", "4"]
    assert main(["evaluate", "--model", model, *arguments, "--run", str(directory)]) == 0
    first = capsys.readouterr().out
    assert main(["evaluate", "--model", model, *arguments, "--run", str(directory)]) == 2
    assert "should not exist yet" in capsys.readouterr().err
    assert main(["evaluate", "--run", str(directory)]) == 2
    assert "has finished" in capsys.readouterr().err
    run = EvaluationDirectory(directory)
    run.write_status(EvaluationStatus("stopped"))
    (directory / "units" / "0-attack-0-1.json").unlink()
    assert main(["evaluate", "--run", str(directory)]) == 0
    assert robust_lines(capsys.readouterr().out) == robust_lines(first)


def robust_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith(("clean", "robust"))]
    assert len(lines) == 2
    return lines


@pytest.mark.slow
def test_a_signal_ends_an_evaluation_and_keeps_what_is_done(model, tmp_path) -> None:
    directory = tmp_path / "evaluation"
    command = [sys.executable, "-m", "robust_core", "evaluate", "--model", model, "--attack", "pgd"]
    arguments = ["--num-steps", "10000", "--num-restarts", "100", "--num-images", "50"]
    child = subprocess.Popen(
        [*command, *arguments, "--run", str(directory)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run = EvaluationDirectory(directory)
    deadline = time.monotonic() + 120
    while run.status().phase != "attack" and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0
    assert b"results so far are saved" in out
    assert b"Traceback" not in err
    assert run.status().state == "stopped"


@pytest.mark.slow
def test_the_quick_verdict_is_a_plan_of_its_own(model, monkeypatch, capsys) -> None:
    monkeypatch.setattr("robust_core.evaluation_runs.quick.ADAPTIVE_SECONDS", 0.5)
    monkeypatch.setattr("robust_core.evaluation_runs.quick.CHECK_SECONDS", 0.5)
    arguments = ["evaluate", "--model", model, "--quick", "--num-images", "6", "--epsilon", "0.05"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "attack    pgd, Linf, epsilon 12.8/255" in out
    assert "time_limit 0.5" in out and "lowest " in out
    assert main([*arguments, "--attack", "fgsm"]) == 2
    assert "--quick, which has its own attacks, or --attack" in capsys.readouterr().err
