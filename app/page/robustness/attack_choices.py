"""The attacks that an evaluation offers, and their settings for stochastic models."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from app.ui.words import distance_words
from robust_core.attacks.base import ATTACKS, attack_from, attack_presets
from robust_core.attacks.description import attack_title
from robust_core.config.attack_run import SAME_NETWORK, AttackRun
from robust_core.evaluation_runs.plan import has_parameter
from robust_core.parameters import Parameters
from robust_core.threat_model import ThreatModel

MANY_PASSES = 2000


class Randomness(Parameters):
    """How stochastic models are evaluated and attacked."""

    passes_per_prediction: Annotated[
        int, Field(ge=1, le=1000, description="Forward passes averaged for one prediction.")
    ] = 1
    num_repeats: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Repeated evaluations per image; it counts as correct only if all of them "
            "are.",
        ),
    ] = 1
    passes_per_gradient: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Passes averaged for each gradient of the attacks (EOT), to reduce its "
            "noise; AutoAttack averages 20 or more.",
        ),
    ] = 10


def planned_attack(
    title: str,
    threat_model: ThreatModel,
    randomness: Randomness | None = None,
    *,
    surrogate: str | None = None,
    kept: Mapping[str, AttackRun] = MappingProxyType({}),
) -> AttackRun:
    """Return the attack called `title` as an attack of a plan, under a threat model.

    An attack that supports only another norm keeps that norm with its default epsilon. The spatial
    attack has limits on rotation and shift instead.

    Args:
        title: of one of `attack_presets()`, or of `kept`.
        threat_model: norm and epsilon.
        randomness: settings for a stochastic model; None for any other.
        surrogate: name of the surrogate model; None: the evaluated model itself, or that of `kept`.
        kept: attacks of an earlier evaluation that are no presets; they keep their parameters.
    """
    if title in kept:
        choice = kept[title]
        if surrogate is not None:
            choice = choice.model_copy(update={"surrogate": surrogate})
    else:
        name, _ = attack_presets()[title]
        parameters = preset_parameters(title, randomness)
        choice = AttackRun(name=name, parameters=parameters, surrogate=surrogate)
    bounds = {"norm": str(threat_model.norm), "epsilon": threat_model.epsilon}
    taken = {key: value for key, value in bounds.items() if has_parameter(choice, key)}
    if "norm" not in taken and choice.attack().norm is not threat_model.norm:
        return choice
    return choice.model_copy(update={"parameters": choice.parameters | taken})


def as_published(attack: AttackRun) -> AttackRun:
    """Return the attack as some papers ran it, computed on the base network (role "claim")."""
    return attack.model_copy(update={"surrogate": SAME_NETWORK, "role": "claim"})


def own_threat_model(choice: AttackRun) -> str:
    """Return an attack that does not take the chosen threat model, with its own, in words."""
    own = choice.attack().threat_model
    words = f"{own.norm} {distance_words(own.norm, own.epsilon)}"
    limits = words if has_parameter(choice, "epsilon") else "limits"
    return f"{attack_title(choice.name)} with its own {limits}"


def preset_parameters(title: str, randomness: Randomness | None) -> dict[str, Any]:
    """Return a preset's parameters without threat model; arguments as for `planned_attack`."""
    name, preset = attack_presets()[title]
    attack, parameters = ATTACKS.get(name), dict(preset.parameters)
    if randomness is None or attack.gradient_free or "eot_samples" not in attack.model_fields:
        return parameters
    least = attack.model_fields["eot_samples"].default or 1
    averaged = {"eot_samples": max(least, randomness.passes_per_gradient)}
    return {**parameters, **attack.for_stochastic_models, **averaged}


def preset_label(title: str, randomness: Randomness | None) -> str:
    """Return the label of an attack in the list; a costly preset names its cost."""
    if title not in attack_presets():
        return title
    passes = attack_from(attack_presets()[title][0], preset_parameters(title, randomness)).passes()
    return f"{title} (up to {passes:,} passes)" if passes > MANY_PASSES else title


def preset_titles() -> list[str]:
    """Return the titles of all presets that the attacks declare, in their order."""
    return list(attack_presets())
