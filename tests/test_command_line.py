import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from robust_core.attacks.base import ATTACKS
from robust_core.command_line.main import COMMANDS, main
from robust_core.command_line.options import apply_settings, help_text, parse_value
from robust_core.command_line.subject import with_balls
from robust_core.data import load_data
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationStatus
from robust_core.gradients import predict_logits
from robust_core.paths import REPOSITORY
from robust_core.threat_model import Norm, ThreatModel
from robust_core.training.checkpoint import checkpoint_info, list_checkpoints, load_model
from robust_core.training.config import CardAttack
from robust_core.training.run_directory import RunDirectory
from robust_core.training.trainer import train
from tests.training.conftest import tiny_config


@pytest.fixture(autouse=True)
def restore_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> bytes:
    """A checkpoint that every test may put on its own shelf."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUST_CHECKPOINTS", str(folder))
        return train(tiny_config(epochs=1)).best.read_bytes()


@pytest.fixture
def model(trained, checkpoints) -> str:
    (checkpoints / "pretrained").mkdir()
    (checkpoints / "pretrained" / "tiny.safetensors").write_bytes(trained)
    return "tiny"


@pytest.fixture
def recipe(tmp_path) -> str:
    path = tmp_path / "recipe.json"
    path.write_text(tiny_config().to_json(), encoding="utf-8")
    return str(path)


def test_help_of_every_command(capsys) -> None:
    assert main(["--help"]) == 0
    assert main([]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert command in out
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0


@pytest.mark.parametrize("name", ATTACKS.names())
def test_every_attack_has_all_parameters_as_options(name, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["attack", name, "--help"])
    out = capsys.readouterr().out
    for field in ATTACKS.get(name).model_fields:
        assert f"--{field.replace('_', '-')}" in out


def test_help_text_says_limits_and_default() -> None:
    fields = ATTACKS.get("pgd").model_fields
    assert help_text(fields["epsilon"]).endswith("(>= 0, default 8/255)")
    assert help_text(fields["num_steps"]).endswith("(>= 1, <= 10000, default 20)")
    assert help_text(fields["step_size"]).endswith("default none)")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fly"], "unknown command 'fly'"),
        (["train"], "train needs a configuration file"),
        (["train", "none.json"], "no such file"),
        (["train", "--data", "digits"], "needs both --data and --method"),
        (["train", "--data", "digits", "--method", "tradez"], "did you mean 'trades'?"),
        (["train", "--data", "digits", "--method", "trades", "--set", "epochs"], "NAME=VALUE"),
        (
            ["train", "--data", "digits", "--method", "trades", "--set", "method.beta=-1"],
            "beta must be >= 0",
        ),
        (["train", "--resume", "../x"], "unknown run '../x'"),
        (["train", "--run", "/none/there"], "should be a run directory"),
        (["train", "--threads", "0", "x"], "should be a whole number"),
        (["attack"], "required: ATTACK"),
        (["attack", "pdg"], "invalid choice: 'pdg'"),
        (["attack", "pgd"], "required: --model"),
        (["attack", "pgd", "--model", "none"], "unknown checkpoint 'none'"),
        (["attack", "pgd", "--model", "tiny", "--epsilon", "8"], "did you mean 8/255?"),
        (["attack", "pgd", "--model", "tiny", "--epsilon", "8/0"], "divides by zero"),
        (["attack", "pgd", "--model", "tiny", "--epsilon", "none"], "epsilon needs a value"),
        (["attack", "pgd", "--model", "tiny", "--num-steps", "many"], "valid integer"),
        (["attack", "pgd", "--model", "tiny", "--norm", "L7"], "norm must be one of"),
        (["attack", "pgd", "--model", "tiny", "--norm", "L2"], "--norm L2 needs --epsilon"),
        (["attack", "cw", "--model", "tiny", "--norm", "Linf"], "cw has norm L2 only, got --norm"),
        (
            ["attack", "spatial", "--model", "tiny", "--epsilon", "0.1"],
            "spatial has epsilon 1 only",
        ),
        (["attack", "worst_case", "--model", "tiny", "--attacks", "pgd"], "attacks should be JSON"),
        (["attack", "worst_case", "--model", "tiny", "--attacks", "[8]"], "attacks.0 should be"),
        (["attack", "pgd", "--model", "tiny", "--index", "3", "--target", "4"], "the image's own"),
        (["attack", "pgd", "--model", "tiny", "--index", "360"], "must be in [0, 359]"),
        (["attack", "pgd", "--model", "tiny", "--index", "-1"], "must be in [0, 359]"),
        (["attack", "pgd", "--model", "tiny", "--target", "10"], "unknown class in --target"),
        (["attack", "pgd", "--model", "tiny", "--image", "none.png"], "cannot be read"),
        (["attack", "pgd", "--model", "tiny", "--image", __file__], "file that is none"),
        (["attack", "pgd", "--model", "tiny", "--split", "tset"], "did you mean 'test'?"),
        (["attack", "pgd", "--model", "tiny", "--label", "3"], "--label belongs to --image"),
        (["attack", "pgd", "--model", "tiny", "--output", "/none/a.png"], "cannot be written"),
        (["attack", "pgd", "--model", __file__], "damaged, cut short or something else"),
        (
            ["evaluate", "--model", "tiny", "--num-images", "0"],
            "argument --num-images: should be a whole number from 1, got '0'",
        ),
        (["evaluate", "--model", "tiny", "--attack", "pdg"], "unknown attack 'pdg'"),
        (["evaluate", "--model", "tiny", "--norm", "L2"], "--norm L2 needs --epsilon"),
        (
            ["evaluate", "--model", "tiny", "--attack", "spatial", "--norm", "L2"],
            "spatial has norm Linf only, got --norm L2",
        ),
        (
            [
                *["evaluate", "--model", "tiny", "--epsilon", "0.3"],
                *["--attack", "cw", "--attack", "spatial"],
            ],
            "cw has norm L2 only and spatial has epsilon 1 only, got --epsilon 0.3",
        ),
        (["evaluate"], "evaluate needs --model, --plan, --run or --resume"),
        (["evaluate", "--plan", "none.json"], "no such file"),
        (["evaluate", "--plan", "none.json", "--model", "tiny"], "not both"),
        (["evaluate", "--resume", "../x"], "unknown evaluation '../x'"),
        (["evaluate", "--run", "/none/there"], "no such file"),
        (["evaluate", "--model", "tiny", "--curve", "epsilon=1,x"], "--curve expects a parameter"),
        (["evaluate", "--model", "tiny", "--curve", "1,2"], "--curve expects a parameter"),
        (["evaluate", "--model", "tiny", "--curve", "speed=1"], "parameter must be one of"),
        (
            ["evaluate", "--model", "tiny", "--attack", "fgsm", "--curve", "num_steps=1"],
            "no attack of the plan has num_steps",
        ),
        (["evaluate", "--model", "tiny", "--crafted-on", "imt"], "unknown inference of tiny 'imt'"),
        (["evaluate", "--model", "tiny:imt"], "unknown inference of tiny 'imt'"),
        (["evaluate", "--model", "tiny", "--surrogate", "none"], "unknown checkpoint 'none'"),
        (["evaluate", "--model", "tiny", "--split", "tset"], "did you mean 'test'?"),
        (["evaluate", "--model", "tiny", "--batch-size", "0"], "should be a whole number from 1"),
        (["list", "dogs"], "invalid choice: 'dogs'"),
        (["list", "--markdown"], "goes with list checkpoints"),
        (["bench", "--repeats", "0"], "should be a whole number"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(arguments, sentence, model, capsys) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_train_from_a_recipe_with_settings_and_export(recipe, tmp_path, capsys) -> None:
    export = tmp_path / "pretrained" / "mine.safetensors"
    arguments = ["train", recipe, "--set", "epochs=1", "--set", "method.epsilon=8/255"]
    assert main([*arguments, "--export", str(export)]) == 0
    captured = capsys.readouterr()
    assert "finished after epoch 1" in captured.out
    config = checkpoint_info("mine").config
    assert config.epochs == 1
    assert config.method.parameters["epsilon"] == pytest.approx(8 / 255)
    assert len(list_checkpoints()) == 2


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


def test_attack_reports_and_saves(model, tmp_path, capsys) -> None:
    output = tmp_path / "adv.png"
    arguments = ["attack", "pgd", "--model", model, "--index", "3", "--num-steps", "2"]
    assert main([*arguments, "--epsilon", "25.5/255", "--output", str(output)]) == 0
    out = capsys.readouterr().out
    for word in ("digits/test/", "num_steps 2", "distance", "before", "after", "verdict"):
        assert word in out
    assert output.read_bytes().startswith(b"\x89PNG")
    assert main(["attack", "fgsm", "--model", model, "--image", str(output), "--target", "3"]) == 0
    assert "taken for" in capsys.readouterr().out


def test_attack_takes_the_standard_threat_model_of_the_data(model, capsys) -> None:
    assert main(["attack", "fgsm", "--model", model]) == 0
    assert "Linf, epsilon 25.5/255" in capsys.readouterr().out


LINF, L2 = ThreatModel(Norm.LINF, 0.1), ThreatModel(Norm.L2, 2.0)
CW, SPATIAL = ThreatModel(Norm.L2, 0.5), ThreatModel(Norm.LINF, 1.0)  # their own


@pytest.mark.parametrize(
    ("names", "given", "balls"),
    [
        (["pgd"], {}, [LINF]),
        (["deepfool"], {"epsilon": "0.1"}, [LINF]),  # its own default norm is L2
        (["pgd"], {"norm": "Linf"}, [LINF]),
        (["pgd"], {"norm": "L2", "epsilon": "2"}, [L2]),
        (["cw"], {}, [CW]),
        (["cw"], {"norm": "L2"}, [CW]),
        (["cw"], {"epsilon": "2"}, [L2]),
        (["spatial"], {}, [SPATIAL]),
        (["spatial"], {"norm": "Linf", "epsilon": "1"}, [SPATIAL]),
        (["pgd", "cw", "spatial"], {}, [LINF, CW, SPATIAL]),
        (["fgsm", "cw", "spatial"], {"norm": "L2", "epsilon": "2"}, [L2, L2, SPATIAL]),
        ([], {}, []),
    ],
)
def test_every_attack_gets_as_much_of_the_ball_as_it_can_have(names, given, balls) -> None:
    attacks = [ATTACKS.get(name) for name in names]
    found = with_balls(attacks, {"seed": 3, **given}, lambda: [LINF])
    made = [attack.create(values) for attack, values in zip(attacks, found, strict=True)]
    assert [attack.threat_model for attack in made] == balls
    assert {attack.seed for attack in made} <= {3}


def test_standards_that_differ_are_asked_for_only_where_they_matter() -> None:
    pgd, spatial = ATTACKS.get("pgd"), ATTACKS.get("spatial")
    standards = [LINF, ThreatModel(Norm.LINF, 8 / 255)]
    with pytest.raises(InputError, match=r"different standards, .* expected --epsilon"):
        with_balls([pgd], {}, lambda: standards)
    (values,) = with_balls([pgd], {"epsilon": "0.2"}, lambda: standards)
    assert pgd.create(values).threat_model == ThreatModel(Norm.LINF, 0.2)
    assert with_balls([spatial], {}, lambda: standards) == [{"norm": Norm.LINF}]


def test_attacks_of_the_worst_case_are_json(model, capsys) -> None:
    members = '[{"name": "fgsm"}, {"name": "random_search", "parameters": {"num_queries": 2}}]'
    assert main(["attack", "worst_case", "--model", model, "--attacks", members]) == 0
    out = capsys.readouterr().out
    assert "'num_queries': 2" in out
    assert "at most 3 " in out
    default = help_text(ATTACKS.get("worst_case").model_fields["attacks"])
    assert '[{"name":"pgd","parameters":{}},' in default


def test_attack_says_that_the_model_answers_at_random(monkeypatch, model, capsys) -> None:
    assert main(["attack", "fgsm", "--model", model]) == 0
    assert "at random" not in capsys.readouterr().out
    network = type(load_model(model))
    monkeypatch.setattr(network, "stochastic", True)
    assert main(["attack", "fgsm", "--model", model]) == 0
    assert "note      the model answers at random" in capsys.readouterr().out


def test_a_target_that_is_seen_without_an_attack_is_no_success(model, capsys) -> None:
    subject = load_model(model)
    images = load_data("digits", "test")
    seen = predict_logits(subject, images.x).argmax(dim=1)
    wrong = int((seen != images.y).nonzero()[0])
    target = str(int(seen[wrong]))
    arguments = ["attack", "fgsm", "--model", model, "--index", str(wrong), "--target", target]
    assert main(arguments) == 0
    assert f"is taken for {target}, the target" in capsys.readouterr().out


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
    for word in ("clean", "robust", "curve", "95 % interval", "finished"):
        assert word in out
    assert main(["evaluate", "--model", model, "--attack", "none", "--num-images", "5"]) == 0
    assert "robust" not in capsys.readouterr().out


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
    while run.status(lost_after=120).phase != "attack" and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0
    assert b"what is done is kept" in out
    assert b"Traceback" not in err
    assert run.status().state == "stopped"


def test_list(model, capsys) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for word in ("pgd", "trades", "small_cnn", "digits", "tiny", "runs:"):
        assert word in out
    assert main(["list", "checkpoints", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("### digits")


def test_settings_reach_parameters_and_new_names_drop_old_ones() -> None:
    values = tiny_config().model_dump(mode="json")
    changed = apply_settings(
        values, ["method.num_steps=3", "model.name=vit", "optimiser.momentum=0.5", "data.seed=4"]
    )
    assert changed["method"]["parameters"]["num_steps"] == "3"
    assert changed["model"] == {"name": "vit", "parameters": {}}
    assert changed["optimiser"]["momentum"] == "0.5"
    assert changed["data"]["seed"] == "4"
    assert values["method"]["parameters"]["num_steps"] == 1
    chosen = CardAttack.create({"name": "pgd"}).model_dump(mode="json")
    values["evaluation"]["test_attack"] = chosen
    deep = ["evaluation.test_attack.num_images=7", "evaluation.test_attack.seed=3"]
    attack = apply_settings(values, deep)["evaluation"]["test_attack"]
    assert (attack["num_images"], attack["parameters"]) == ("7", {"seed": "3"})
    further = apply_settings(values, ['evaluation.further_attacks=[{"name": "fgsm"}]'])
    assert further["evaluation"]["further_attacks"] == [{"name": "fgsm"}]
    ball = apply_settings(values, ["method.norm=L2", "method.epsilon=1/2"])["method"]["parameters"]
    assert (ball["norm"], ball["epsilon"]) == ("L2", 0.5)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("epochs.x=3", "no field of a single value"),
        ("schedule.milestones=[1,", r"should be JSON such as \[1, 2\]"),
        ("method.norm=L2", "needs --set method.epsilon, for a radius belongs to its norm"),
    ],
)
def test_a_bad_setting_is_named(setting, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        apply_settings(tiny_config().model_dump(mode="json"), [setting])


def test_values() -> None:
    assert parse_value("8/255") == 8 / 255
    assert parse_value("auto") is None
    assert parse_value("a/b") == "a/b"
    assert parse_value("3") == "3"


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
