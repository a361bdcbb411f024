import pytest

from robust_core.attacks.base import ATTACKS, create_attack
from robust_core.errors import InputError
from robust_core.registry import Registry, did_you_mean


def test_discovers_every_module_and_sorts_names():
    assert {"fgsm", "pgd", "mim"} <= set(ATTACKS.names())
    assert ATTACKS.names() == sorted(ATTACKS.names())


def test_unknown_name_is_answered_with_the_likely_one():
    with pytest.raises(InputError, match=r"unknown attack 'pdg' \(did you mean 'pgd'\?\); known: "):
        ATTACKS.get("pdg")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("steps", "num_steps"),
        ("restarts", "num_restarts"),
        ("stepsize", "step_size"),
        ("n_steps", "num_steps"),
        ("eps", "epsilon"),
        ("Epsilon", "epsilon"),
        ("eot", "eot_samples"),
        ("random", "random_start"),
    ],
)
def test_an_unknown_parameter_is_answered_with_the_likely_one(name, meant):
    with pytest.raises(InputError, match=f"parameter '{name}' \\(did you mean '{meant}'"):
        create_attack("pgd", **{name: 1})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("PGD", "pgd"), ("AutoAttack", "autoattack"), ("auto-attack", "autoattack"), ("CW", "cw")],
)
def test_case_and_signs_do_not_count(name, meant):
    with pytest.raises(InputError, match=f"attack '{name}' \\(did you mean '{meant}'"):
        create_attack(name)


@pytest.mark.parametrize("name", ["", "--", "x", "qqqqqqq"])
def test_nothing_is_guessed_of_a_name_that_is_like_no_other(name):
    assert did_you_mean(name, ATTACKS.names()) == ""
    assert did_you_mean(name, []) == ""


def test_the_shortest_of_several_is_meant():
    known = ["digits-pgd_at:scaled", "digits-pgd_at", "digits-trades"]
    assert did_you_mean("pgd_at", known) == " (did you mean 'digits-pgd_at'?)"


def test_a_name_is_given_only_once():
    registry: Registry[type] = Registry("thing", "robust_core.attacks")
    registry.register("a")(int)
    with pytest.raises(ValueError, match="thing 'a' is registered twice"):
        registry.register("a")(float)


def test_name_of_finds_the_entry_and_nothing_else():
    assert ATTACKS.name_of(ATTACKS.get("pgd")) == "pgd"
    assert ATTACKS.name_of(int) is None
