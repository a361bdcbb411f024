import math
from typing import Annotated

import pytest
from pydantic import Field

from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.parameters import OneOf, Parameters
from robust_core.threat_model import Norm


class Example(Parameters):
    count: Annotated[int, Field(ge=1, le=10, description="A count.")] = 1
    rate: Annotated[float, Field(gt=0, lt=1, description="A rate.")] = 0.5


def test_parameters_are_frozen_and_hashable():
    example = Example.create({"count": 3})
    assert hash(example) == hash(Example(count=3))
    with pytest.raises(ValueError, match="frozen"):
        example.count = 4  # pyright: ignore[reportAttributeAccessIssue]


def test_a_name_is_one_of_a_library_where_that_is_installed():
    known: list[str] = []

    class Named(Parameters):
        network: Annotated[str, OneOf("network", lambda: tuple(known)), Field()] = "resnet18"

    assert Named.create({"network": "anything"}).network == "anything"
    known += ["resnet18", "resnet50"]
    assert Named.create({"network": "resnet50"}) == Named(network="resnet50")
    with pytest.raises(
        InputError, match=r"unknown network 'resnet5' \(did you mean 'resnet50'\?\)"
    ):
        Named.create({"network": "resnet5"})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"count": 0}, "count must be >= 1, got 0"),
        ({"count": 11}, "count must be <= 10, got 11"),
        ({"rate": 0}, "rate must be > 0.0, got 0"),
        ({"rate": 1}, "rate must be < 1.0, got 1"),
        ({"cuont": 3}, r"unknown parameter 'cuont' \(did you mean 'count'\?\)"),
        ({"count": "many"}, "count should be a valid integer.*got 'many'"),
        ({"rate": math.nan}, "rate .*got nan"),
    ],
)
def test_wrong_values_get_one_sentence(values, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        Example.create(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (
            {"epsilon": 8},
            r"epsilon must be in \[0, 1\] for Linf, got 8 \(did you mean 8/255\?\)",
        ),
        ({"epsilon": -0.1}, "epsilon must be >= 0"),
        ({"epsilon": 200, "norm": "L2"}, r"epsilon must be in \[0, 100\] for L2"),
        ({"norm": "L1"}, "norm must be one of 'Linf' or 'L2', got 'L1'"),
        ({"num_steps": 0}, "num_steps must be >= 1, got 0"),
        ({"alpha": 0.1}, "unknown parameter 'alpha'"),
        ({"loss": "dlr2"}, "loss must be one of"),
    ],
)
def test_wrong_attack_parameters_get_one_sentence(parameters, sentence):
    with pytest.raises(InputError, match=sentence):
        create_attack("pgd", **parameters)


def test_a_message_says_a_norm_as_people_write_it():
    with pytest.raises(InputError) as caught:
        create_attack("cw", norm=Norm.LINF)
    assert "got 'Linf'" in str(caught.value) and "<" not in str(caught.value)
    with pytest.raises(InputError) as caught:
        create_attack("pgd", num_steps=Norm.L2)
    assert "got 'L2'" in str(caught.value)
    assert "<" not in repr(create_attack("pgd", norm="L2", epsilon=0.5))
