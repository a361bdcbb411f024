"""Names of before, in files and on the command line, and what they are called today.

Plans, configurations and cards that were written under the old names are read for good; the old
flags of the command line and names of the package are taken for one more version.
"""

from collections.abc import Mapping
from typing import Any

FIELDS = {"num_verdicts": "num_repeats"}  # of plans, configurations and cards
PARAMETERS = {"stop_when_fallen": "stop_when_fooled"}  # of attacks, methods and networks
CHECKS = {"large_radius": "large_epsilon"}
FLAGS = {
    "--stop-when-fallen": "--stop-when-fooled",
    "--no-stop-when-fallen": "--no-stop-when-fooled",
    "--verdicts": "--num-repeats",
    "--crafted-on": "--surrogate-mode",
    "--engine": "--acceleration",
}
NAMES = {"Subject": "ReliabilityCase"}  # of the package
SURROGATE, SURROGATE_MODE = "surrogate", "crafted_on"


def renamed(values: Any) -> Any:
    """Return the fields of a plan, a configuration or a card under their names of today.

    An attack's `crafted_on`, an inference mode of the same network or "" for the network itself, is
    today a surrogate that begins with a colon.
    """
    if not isinstance(values, Mapping) or not values.keys() & {*FIELDS, SURROGATE_MODE}:
        return values
    today = {FIELDS.get(name, name): value for name, value in values.items()}
    mode = today.pop(SURROGATE_MODE, None)
    if isinstance(mode, str):
        other = today.get(SURROGATE)
        if other is not None:
            raise ValueError(
                f"an attack is computed on one model, got surrogate {other!r} and crafted_on "
                f"{mode!r}"
            )
        today[SURROGATE] = f":{mode}"
    return today


def attack_of_result(values: Any) -> Any:
    """Return a result of a card with everything about its attack in one place."""
    if not isinstance(values, Mapping) or not isinstance(values.get("attack"), Mapping):
        return values
    beside = ("inference", "role", SURROGATE_MODE, *FIELDS)
    moved = {name: values[name] for name in beside if name in values}
    rest = {name: value for name, value in values.items() if name not in moved}
    return {**rest, "attack": {**values["attack"], **moved}}


def renamed_parameters(values: Any) -> Any:
    """Return parameters under their names of today."""
    if not isinstance(values, Mapping) or not values.keys() & PARAMETERS.keys():
        return values
    return {PARAMETERS.get(name, name): value for name, value in values.items()}


def renamed_flags(arguments: list[str]) -> list[str]:
    """Return the arguments of a command with the flags of today; "--flag=value" is a flag, too."""
    today = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        today.append(f"{FLAGS.get(flag, flag)}{equals}{value}")
    return today
