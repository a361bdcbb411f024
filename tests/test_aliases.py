"""What was written under old names is read under those of today."""

import json

import pytest

from robust_core.aliases import renamed_flags
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.card import RobustResult
from robust_core.command_line.main import main
from robust_core.config.attack_run import AttackRun, CardAttack
from robust_core.config.run import EvaluationConfig
from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation_runs import EvaluationPlan


@pytest.mark.parametrize(
    ("old", "surrogate", "transfers"),
    [
        ({}, None, False),
        ({"crafted_on": None}, None, False),
        ({"crafted_on": ""}, ":", True),
        ({"crafted_on": "one_view"}, ":one_view", True),
        ({"crafted_on": "imt"}, ":imt", False),
        ({"surrogate": ":"}, ":", True),
    ],
)
def test_an_attack_of_an_old_recipe_keeps_its_surrogate_and_repeats(old, surrogate, transfers):
    values = {"name": "pgd", "inference": "imt", "num_verdicts": 10, **old}
    (attack,) = EvaluationConfig.create({"further_attacks": [values]}).further_attacks
    assert (attack.surrogate, attack.transfers) == (surrogate, transfers)
    assert attack.num_repeats == 10
    assert CardAttack.create(attack.model_dump(mode="json")) == attack


def test_a_result_of_an_old_card_knows_its_attack():
    old = {
        "attack": {"name": "pgd", "parameters": {}},
        "accuracy": 0.5,
        "interval": [0.4, 0.6],
        "num_images": 100,
        "inference": "imt",
        "crafted_on": "",
        "role": "claim",
        "num_verdicts": 3,
    }
    result = RobustResult.create(old)
    attack = result.attack
    assert (attack.inference, attack.surrogate, attack.role) == ("imt", ":", "claim")
    assert attack.num_repeats == 3 and attack.surrogate_words == "the base network"
    assert RobustResult.create(json.loads(result.model_dump_json())) == result


def test_old_parameters_and_names_of_checks_are_read():
    attack = create_attack("pgd", stop_when_fallen=True)
    assert attack == create_attack("pgd", stop_when_fooled=True)
    old = {"name": "pgd", "parameters": {"stop_when_fallen": True}}
    assert AttackRun.create(old).attack() == attack
    stored = Finding("large_epsilon", Severity.OK, 0.0, 0.1, "").to_json()
    assert Finding.from_json(stored | {"name": "large_radius"}).name == "large_epsilon"
    assert renamed_flags(["--stop-when-fallen"]) == ["--stop-when-fooled"]


def test_an_old_plan_is_read():
    attack = {"name": "fgsm", "crafted_on": ""}
    plan = EvaluationPlan.create(
        {"checkpoints": ["digits-atld:imt"], "attacks": [attack], "num_verdicts": 4}
    )
    assert plan.num_repeats == 4
    assert plan.attacks[0].surrogate_of("digits-atld") == "digits-atld"
    assert EvaluationPlan.create(json.loads(plan.to_json())) == plan


def test_two_surrogates_are_one_too_many():
    both = {"name": "fgsm", "crafted_on": "", "surrogate": "digits-standard"}
    with pytest.raises(InputError, match="computed on one model"):
        EvaluationPlan.create({"checkpoints": ["digits-atld"], "attacks": [both]})


def test_a_card_knows_surrogates_of_its_own_network_only():
    with pytest.raises(InputError, match=r"inference mode of the same\s+network"):
        CardAttack.create({"name": "pgd", "surrogate": "digits-standard"})


def test_old_flags_are_taken(capsys: pytest.CaptureFixture[str]):
    old = ["evaluate", "--model", "digits-ciiv", "--attack", "pgd", "--verdicts=0"]
    assert main(old) == 2
    assert "--num-repeats" in capsys.readouterr().err
