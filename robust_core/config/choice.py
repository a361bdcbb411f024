"""A registered name and its parameters: how configurations and plans speak of anything."""

from typing import Annotated, Any, TypeVar

from pydantic import Field

from robust_core.errors import InputError
from robust_core.parameters import Parameters

Seed = Annotated[int, Field(ge=0, le=2**31 - 1, description="Random seed.")]


class Choice(Parameters):
    """A registered name and its parameters; those left out take their defaults."""

    name: Annotated[str, Field(min_length=1, max_length=1000, description="Name.")]
    parameters: Annotated[dict[str, Any], Field(default_factory=dict, description="Parameters.")]


ChoiceT = TypeVar("ChoiceT", bound=Choice)


class DataChoice(Choice):
    """A data set (a registered name, a .npz file or an image folder) and the seed of its split."""

    seed: Seed = 0


def complete(kind: str, choice: ChoiceT, parameters: type[Parameters]) -> ChoiceT:
    """Return `choice` with all parameters checked and the defaults written out."""
    try:
        values = parameters.create(choice.parameters)
    except InputError as error:
        raise InputError(f"{kind} {choice.name}: {error}") from None
    return choice.model_copy(update={"parameters": values.model_dump(mode="json")})


def chosen_name(choice: Any) -> str:
    """Return the name in a choice of a plan that may be damaged; "" without one."""
    return str(choice.get("name", "")) if isinstance(choice, dict) else ""
