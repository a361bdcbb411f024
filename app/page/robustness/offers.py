"""What an evaluation may attack with, and how it is set for models that answer at random."""

from typing import Annotated, Any

from pydantic import Field

from app.ui.words import distance_words
from robust_core.attacks.base import ATTACKS, attack_from
from robust_core.attacks.description import attack_title
from robust_core.evaluation_runs import PlannedAttack
from robust_core.evaluation_runs.plan import has_parameter
from robust_core.parameters import Parameters
from robust_core.threat_model import ThreatModel

OFFERS: dict[str, tuple[str, dict[str, Any]]] = {  # title -> registered name, parameters
    "FGSM": ("fgsm", {}),
    "PGD-20": ("pgd", {"num_steps": 20}),
    "PGD-20, margin loss": ("pgd", {"num_steps": 20, "loss": "margin"}),
    "PGD-50 x 5": ("pgd", {"num_steps": 50, "num_restarts": 5}),
    "MIM-20": ("mim", {"num_steps": 20}),
    "APGD": ("apgd", {"loss": "cross_entropy"}),
    "APGD, targeted DLR": ("apgd", {"loss": "targeted_dlr"}),
    "Square-200": ("square", {"num_queries": 200}),
    "Square-5,000": ("square", {"num_queries": 5000}),
    "SPSA": ("spsa", {}),
    "Random search-100": ("random_search", {"num_queries": 100}),
    "FAB": ("fab", {}),
    "DeepFool": ("deepfool", {}),
    "CW (L2 only)": ("cw", {}),
    "Feature": ("feature", {}),
    "BPDA": ("bpda", {}),
    "Spatial (turns and shifts)": ("spatial", {}),
    "AutoAttack": ("autoattack", {}),
    "Adaptive": ("adaptive", {}),
}
FOR_RANDOM_MODELS: dict[str, dict[str, Any]] = {"autoattack": {"version": "rand"}}
MANY_PASSES = 2000


class Randomness(Parameters):
    """How models that answer at random are judged and attacked."""

    passes_that_decide: Annotated[
        int, Field(ge=1, le=1000, description="Passes whose mean is one answer.")
    ] = 1
    answers_that_must_all_be_right: Annotated[
        int,
        Field(ge=1, le=1000, description="An image counts as right only if so many answers are."),
    ] = 1
    passes_per_gradient: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Passes averaged for each gradient of the attacks (EOT), so that noise "
            "does not hide the way; AutoAttack averages 20 or more.",
        ),
    ] = 10


def planned_attack(
    title: str,
    ball: ThreatModel,
    randomness: Randomness | None = None,
    *,
    made_on: str | None = None,
) -> PlannedAttack:
    """Return the attack of `OFFERS` called `title`, within `ball` where it can be.

    An attack that is bound to another norm keeps its own, and its own default radius. Turns and
    shifts have limits of their own in place of a ball.

    Args:
        title: a key of `OFFERS`.
        ball: norm and radius.
        randomness: how it is set for a model that answers at random; None for any other.
        made_on: name of the checkpoint that is attacked; None: what is judged.
    """
    name, _ = OFFERS[title]
    parameters = offered_parameters(title, randomness)
    choice = PlannedAttack(name=name, parameters=parameters, surrogate=made_on)
    bounds = {"norm": str(ball.norm), "epsilon": ball.epsilon}
    taken = {key: value for key, value in bounds.items() if has_parameter(choice, key)}
    if "norm" not in taken and choice.create().norm is not ball.norm:
        return choice
    return choice.model_copy(update={"parameters": choice.parameters | taken})


def own_limits(choice: PlannedAttack) -> str:
    """Return within what an attack stays that is not in the ball that was chosen, in words."""
    own = choice.create().threat_model
    words = f"{own.norm} {distance_words(own.norm, own.epsilon)}"
    limits = words if has_parameter(choice, "epsilon") else "limits"
    return f"{attack_title(choice.name)} within {limits} of its own"


def offered_parameters(title: str, randomness: Randomness | None) -> dict[str, Any]:
    """Return the parameters of an offer but for its ball; arguments as for `planned_attack`."""
    name, parameters = OFFERS[title]
    attack = ATTACKS.get(name)
    if randomness is None or attack.gradient_free or "eot_samples" not in attack.model_fields:
        return dict(parameters)
    least = attack.model_fields["eot_samples"].default or 1
    averaged = {"eot_samples": max(least, randomness.passes_per_gradient)}
    return parameters | FOR_RANDOM_MODELS.get(name, {}) | averaged


def offer_words(title: str, randomness: Randomness | None) -> str:
    """Return how an offer is called in the list: the costly ones with what they cost."""
    passes = attack_from(OFFERS[title][0], offered_parameters(title, randomness)).passes()
    return f"{title} (up to {passes:,} passes)" if passes > MANY_PASSES else title
