from pathlib import Path

import pytest

from robust_core import paths
from robust_core.attacks.base import ATTACKS
from robust_core.command_line.main import main
from robust_core.command_line.options import apply_settings, configuration, help_text, parse_value
from robust_core.config.attack_run import CardAttack
from robust_core.errors import InputError
from tests.training.conftest import tiny_config


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
        ("method.norm=L2", "needs --set method.epsilon: epsilon depends on the norm"),
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


def test_a_configuration_is_a_file_or_the_recipe_of_a_shipped_model(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(paths, "SHIPPED", paths.REPOSITORY / "checkpoints")
    monkeypatch.chdir(tmp_path)
    recipe = paths.REPOSITORY / "checkpoints" / "recipes" / "digits-trades.json"
    assert configuration("digits-trades") == recipe
    for text in ("nobody", "mine.json", "some/digits-trades"):
        assert configuration(text) == Path(text)
    (tmp_path / "digits-trades").touch()  # a file that is there is what was meant
    assert configuration("digits-trades") == Path("digits-trades")
