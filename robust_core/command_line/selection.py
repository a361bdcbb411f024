"""What an attack or an evaluation from the command line is about: model, images, attack."""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

from robust_core.attacks.base import ATTACKS, Attack
from robust_core.checkpoints.catalog import CheckpointInfo, checkpoint_info, load_model
from robust_core.command_line.options import given_parameters
from robust_core.data import ImageSet, data_source, load_data
from robust_core.errors import InputError
from robust_core.evaluation_runs.subjects import check_fit
from robust_core.models.base import Classifier
from robust_core.threat_model import ThreatModel, ThreatModelParameters

T = TypeVar("T")


@dataclass(frozen=True)
class ModelSelection:
    """A model and what its file says about it."""

    model: Classifier
    info: CheckpointInfo

    def images(self, options: argparse.Namespace) -> ImageSet:
        """Return the images that the options name: --data and --split, or the model's own data.

        Raises:
            InputError: no such images, or they do not fit the model.
        """
        trained = self.info.config.data
        own = options.data in (None, trained.name)
        images = load_data(
            trained.name if own else options.data,
            options.split,
            trained.parameters if own else None,
            seed=trained.seed if own else 0,
        )
        check_fit(self.info, images)
        return images

    def attack(self, name: str, options: argparse.Namespace) -> Attack:
        """Return the attack that the options describe, in its threat model."""
        attack = ATTACKS.get(name)
        data = options.data or self.info.config.data.name
        (values,) = with_threat_models(
            [attack], given_parameters(options, attack), lambda: [data_source(data).threat_model]
        )
        return attack.create(values)


def add_subject(parser: argparse.ArgumentParser) -> None:
    """Add --model, --data and --split."""
    parser.add_argument("--model", required=True, help="checkpoint: a name or a .safetensors file")
    parser.add_argument("--data", help="data set (default: the training data set of the model)")
    parser.add_argument("--split", default="test", help="split of the data set (default test)")


def load_subject(options: argparse.Namespace) -> ModelSelection:
    """Return the model that --model names."""
    return ModelSelection(load_model(options.model), checkpoint_info(options.model))


def attack_line(attack: Attack) -> str:
    """Return the attack and all of its parameters in one line."""
    values = ", ".join(
        f"{name} {'automatic' if value is None else value}"
        for name, value in attack.model_dump(mode="json", exclude={"norm", "epsilon"}).items()
    )
    return f"{attack.name}, {attack.threat_model}, {values}"


def with_threat_models(
    attacks: Sequence[type[Attack]],
    values: Mapping[str, Any],
    standards: Callable[[], Collection[ThreatModel]],
) -> list[dict[str, Any]]:
    """Return the parameters of each attack: `values`, with norm and epsilon as it can have them.

    What is not given is the data set's standard. An attack that is bound to another norm or epsilon
    keeps its own, and its own default epsilon in a norm of its own.

    Args:
        attacks: the attacks.
        values: what was given for all of them.
        standards: returns the standard threat models of the data sets; asked where it matters.

    Raises:
        InputError: no attack can have what was given; a norm without an epsilon, which the standard
            of another norm cannot lend; several standards that differ.
    """
    if not attacks:
        return []
    bounds = _bounds(attacks, values, standards)
    taken = [_taken(attack, bounds) for attack in attacks]
    for name, value in bounds.items():
        if name in values and not any(name in one for one in taken):
            bonds = " and ".join(_bond(attack, bounds) for attack in attacks)
            raise InputError(f"{bonds}, got --{name} {_text(value)}")
    others = {name: value for name, value in values.items() if name not in bounds}
    return [others | one for one in taken]


def _bounds(
    attacks: Sequence[type[Attack]],
    values: Mapping[str, Any],
    standards: Callable[[], Collection[ThreatModel]],
) -> dict[str, Any]:
    """Return the norm and, but where every attack is to keep its own, epsilon."""
    norm, epsilon = values.get("norm"), values.get("epsilon")
    if norm is None:
        bound = {_allowed(attack, "norm") for attack in attacks}
        same = bound.pop() if len(bound) == 1 else ()
        norm = same[0] if same else _only("norm", {one.norm for one in standards()})
    norm = ThreatModelParameters.create({"norm": norm}).norm
    if epsilon is None:
        takers = [
            one for one in attacks if _can_have(one, "norm", norm) and not _allowed(one, "epsilon")
        ]
        radii = {one.epsilon for one in standards() if one.norm is norm} if takers else set()
        if radii:
            epsilon = _only("epsilon", radii)
        elif not all(_allowed(attack, "norm") for attack in takers):
            standard = "; ".join(str(one) for one in standards())
            raise InputError(f"--norm {norm} needs --epsilon, for the standard is {standard}")
    if epsilon is None:
        return {"norm": norm}
    return ThreatModelParameters.create({"norm": norm, "epsilon": epsilon}).model_dump()


def _taken(attack: type[Attack], bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an attack can have of the norm and epsilon: nothing if its norm is another."""
    if not _can_have(attack, "norm", bounds["norm"]):
        return {}
    return {name: value for name, value in bounds.items() if _can_have(attack, name, value)}


def _bond(attack: type[Attack], bounds: Mapping[str, Any]) -> str:
    """Return what keeps an attack from a norm or epsilon: "cw has norm L2 only"."""
    name = "epsilon" if _can_have(attack, "norm", bounds["norm"]) else "norm"
    allowed = " or ".join(map(_text, _allowed(attack, name)))
    return f"{ATTACKS.name_of(attack)} has {name} {allowed} only"


def _can_have(attack: type[Attack], name: str, value: Any) -> bool:
    allowed = _allowed(attack, name)
    return not allowed or value in allowed


def _allowed(attack: type[Attack], name: str) -> tuple[Any, ...]:
    """Return the values to which a parameter is bound; () where it is free."""
    annotation = attack.model_fields[name].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _only(name: str, found: set[T]) -> T:
    """Return the one standard of all data sets."""
    if len(found) > 1:
        listed = " and ".join(sorted(map(_text, found)))
        raise InputError(f"the data sets have different standards, {listed}; expected --{name}")
    return found.pop()


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
