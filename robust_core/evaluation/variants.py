"""Variants of an attack, which the reliability checks compare it with."""

from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from robust_core.attacks.base import Attack, attack_from
from robust_core.attacks.description import describe_attack
from robust_core.attacks.ensemble import AttackChoice, AutoAttack, WorstCase
from robust_core.attacks.fgsm import FGSM
from robust_core.evaluation.finding import NextAttack

MOST_STEPS, MOST_QUERIES = 10_000, 1_000_000  # what the attacks offer at most


def has_parameter(attack: Attack, parameter: str) -> bool:
    """Return whether the attack has this parameter as a free choice."""
    field = type(attack).model_fields.get(parameter)
    return field is not None and not _is_fixed(field.annotation)


def _is_fixed(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def changed(attack: Attack, **parameters: Any) -> Attack:
    """Return the attack with other values of those parameters that it has."""
    known = {name: value for name, value in parameters.items() if has_parameter(attack, name)}
    return attack_from(attack.name, {**attack.model_dump(), **known})


def other_loss(attack: Attack) -> str | None:
    """Return the loss that the attack is compared with; None if its loss is fixed."""
    if not has_parameter(attack, "loss"):
        return None
    return "margin" if attack.model_dump()["loss"] == "cross_entropy" else "cross_entropy"


def averaging(attack: Attack, num_passes: int) -> Attack | None:
    """Return the attack with `num_passes` or more averaged per gradient; None if it cannot."""
    averaged = _with_passes(attack, num_passes)
    return averaged if averaged.averaged_passes >= num_passes else None


def scaled(effort: float, full: int, least: int = 1) -> int:
    """Return a number of steps or queries, scaled by the effort in (0, 1]."""
    return max(round(full * effort), least)


def longer(attack: Attack, effort: float) -> Attack | None:
    """Return the attack with more steps, and more restarts if they are random.

    If all steps together are shorter than 2 epsilon, the step size becomes automatic. An attack
    without steps gets more queries. None if there is nothing to increase.
    """
    values = attack.model_dump()
    more: dict[str, Any] = {}
    if has_parameter(attack, "num_steps"):
        more["num_steps"] = min(values["num_steps"] * scaled(effort, 4, 2), MOST_STEPS)
        step = values.get("step_size")
        if step is not None and step * values["num_steps"] < 2 * attack.epsilon:
            more["step_size"] = None
        if has_parameter(attack, "num_restarts") and values.get("random_start", True):
            more["num_restarts"] = min(values["num_restarts"] + scaled(effort, 4), 100)
    elif has_parameter(attack, "num_queries"):
        more["num_queries"] = min(values["num_queries"] * scaled(effort, 4, 2), MOST_QUERIES)
    found = changed(attack, **more)
    return None if found == attack else found


def in_same_threat_model(attack: Attack, name: str, **parameters: Any) -> Attack:
    """Return another attack in the same threat model and with the same seed."""
    shared = {"norm": attack.norm, "epsilon": attack.epsilon, "seed": attack.seed}
    return attack_from(name, {**shared, **parameters})


def suggested(*attacks: Attack | None, transfer: bool = False) -> NextAttack | None:
    """Return the first of these attacks that there is, as the advice of a finding names it."""
    found = next((attack for attack in attacks if attack is not None), None)
    return None if found is None else NextAttack(**describe_attack(found), transfer=transfer)


def takes_one_step(attack: Attack) -> bool:
    """Return whether the attack takes a single gradient step, as FGSM does."""
    if isinstance(attack, WorstCase):
        return all(takes_one_step(member) for member in attack.members())
    return isinstance(attack, FGSM) or getattr(attack, "num_steps", None) == 1


def with_members(attack: WorstCase, change: Callable[[Attack], Attack]) -> Attack:
    """Return the worst case of the same attacks, each of them changed."""
    choices = [
        AttackChoice(name=member.name, parameters=member.model_dump(mode="json"))
        for member in map(change, attack.members())
    ]
    return attack_from(attack.name, {**attack.model_dump(), "attacks": choices})


def _with_passes(attack: Attack, num_passes: int) -> Attack:
    """Return the attack with `num_passes` per gradient, or more, where it can average."""
    values = attack.model_dump()
    if isinstance(attack, AutoAttack):  # its `standard` has no choice
        num_passes = max(num_passes, attack.eot_samples)
        return attack_from(attack.name, {**values, "version": "rand", "eot_samples": num_passes})
    if isinstance(attack, WorstCase):
        return with_members(attack, lambda member: _with_passes(member, num_passes))
    if "eot_samples" not in values:
        return attack
    return attack_from(attack.name, {**values, "eot_samples": num_passes})
