import pytest

from robust_core.attacks.base import ATTACKS
from robust_core.errors import InputError
from robust_core.registry import Registry


def test_discovers_every_module_and_sorts_names():
    assert {"fgsm", "pgd", "mim"} <= set(ATTACKS.names())
    assert ATTACKS.names() == sorted(ATTACKS.names())


def test_unknown_name_is_answered_with_the_likely_one():
    with pytest.raises(InputError, match=r"unknown attack 'pdg' \(did you mean 'pgd'\?\); known: "):
        ATTACKS.get("pdg")


def test_a_name_is_given_only_once():
    registry: Registry[type] = Registry("thing", "robust_core.attacks")
    registry.register("a")(int)
    with pytest.raises(ValueError, match="thing 'a' is registered twice"):
        registry.register("a")(float)


def test_name_of_finds_the_entry_and_nothing_else():
    assert ATTACKS.name_of(ATTACKS.get("pgd")) == "pgd"
    assert ATTACKS.name_of(int) is None
