"""What the form asks for as a plan, and a plan as what the form asks for; no streamlit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from app.page.robustness.attack_choices import (
    Randomness,
    as_published,
    planned_attack,
    preset_titles,
)
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.config.attack_run import AttackRun
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationPlan, PlannedCurve
from robust_core.evaluation_runs.plan import CurveParameter, has_parameter
from robust_core.parameters import Parameters
from robust_core.threat_model import ThreatModel

CURVE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of epsilon
CURVES: dict[str, tuple[CurveParameter, tuple[float, ...]]] = {  # field -> parameter, values
    "steps_curve": ("num_steps", (1, 2, 5, 10, 20, 50, 100)),
    "queries_curve": ("num_queries", (10, 50, 200, 1000, 5000)),
    "restarts_curve": ("num_restarts", (1, 2, 5, 10)),
    "eot_curve": ("eot_samples", (1, 2, 5, 10, 20)),
}
CHOICES = ("epsilon_curve", *CURVES, "also_on_base_network")  # translated by `make_plan`


class Extent(Parameters):
    """How many images an evaluation uses, and which checks and curves it adds."""

    num_images: Annotated[
        int | None,
        Field(ge=1, description="A stratified sample of the test split; automatic: all."),
    ] = 100
    check_reliability: Annotated[
        bool,
        Field(
            description="Check every accuracy for masked gradients and attacks that are too weak."
        ),
    ] = True
    epsilon_curve: Annotated[
        bool, Field(description="Also measure accuracy at epsilons from 0 to twice the chosen one.")
    ] = False
    steps_curve: Annotated[
        bool, Field(description="Also measure accuracy against 1 to 100 steps.")
    ] = False
    queries_curve: Annotated[
        bool, Field(description="Also measure accuracy against 10 to 5,000 queries.")
    ] = False
    restarts_curve: Annotated[
        bool, Field(description="Also measure accuracy against 1 to 10 restarts.")
    ] = False
    eot_curve: Annotated[
        bool,
        Field(description="Also measure accuracy against 1 to 20 passes averaged per gradient."),
    ] = False
    also_on_base_network: Annotated[
        bool,
        Field(
            description="For test-time defences, run each attack twice: on the base network, as "
            "some papers did, and adaptively, through the defence."
        ),
    ] = False
    reliability_images: Annotated[
        int, Field(ge=1, le=10_000, description="Number of these images that the checks use.")
    ] = 32
    seed: Annotated[
        int, Field(ge=0, le=2**31 - 1, description="Added to each attack's own seed.")
    ] = 0


def make_plan(
    infos: Sequence[CheckpointInfo],
    titles: Sequence[str],
    threat_model: ThreatModel,
    extent: Extent,
    randomness: Randomness | None = None,
    *,
    surrogate: str | None = None,
    kept: Mapping[str, AttackRun] = MappingProxyType({}),
) -> EvaluationPlan:
    """Return the plan with the attacks named by `titles`, see `planned_attack`.

    Raises:
        InputError: the choices contradict each other.
    """
    attacks = [
        planned_attack(title, threat_model, randomness, surrogate=surrogate, kept=kept)
        for title in titles
    ]
    stochastic = randomness or Randomness()
    if extent.also_on_base_network:
        if surrogate is not None:
            raise InputError(
                "attacks can be computed on the base network or on the surrogate model "
                f"{surrogate}, not on both: choose one"
            )
        if not all(info.inference for info in infos):
            raise InputError(
                "attacks on the base network need models with an inference mode, such as "
                "'digits-atld:imt'; any other model is its own base network"
            )
        attacks = [one for attack in attacks for one in (as_published(attack), attack)]
    return EvaluationPlan.create(
        {
            "precision": "fastest",
            "checkpoints": [info.name for info in infos],
            "attacks": attacks,
            "curves": list(_curves(attacks, threat_model, extent)),
            "eot_samples": stochastic.passes_per_prediction,
            "num_repeats": stochastic.num_repeats,
            **extent.model_dump(exclude=set(CHOICES)),
        }
    )


def _curves(
    attacks: Sequence[AttackRun], threat_model: ThreatModel, extent: Extent
) -> Iterator[PlannedCurve]:
    """Yield the requested curves for which some attack has the parameter.

    Raises:
        InputError: an attack does not accept the values of a curve.
    """
    if extent.eot_curve and any(one.name == "autoattack" for one in attacks):
        raise InputError(
            "AutoAttack averages 20 passes or none, so it has no curve over passes per gradient: "
            "remove one of them"
        )
    epsilons = tuple(share * threat_model.epsilon for share in CURVE_SHARES)
    for name, (parameter, values) in {"epsilon_curve": ("epsilon", epsilons), **CURVES}.items():
        if getattr(extent, name) and any(has_parameter(one, parameter) for one in attacks):
            yield PlannedCurve(parameter=parameter, values=values)


@dataclass(frozen=True)
class Filled:
    """What the form shows for a plan.

    Attributes:
        data: the data set. models: names of checkpoints that were trained on it.
        surrogate: name of the one surrogate of all attacks, or None.
        threat_model: that of the first attack that has one; None: no attack has.
        titles: of the attacks. kept: those of them that are no presets.
        randomness: settings for stochastic models; None without one.
        extent: images, checks and curves.
    """

    data: str
    models: tuple[str, ...]
    surrogate: str | None
    threat_model: ThreatModel | None
    titles: tuple[str, ...]
    kept: dict[str, AttackRun]
    randomness: Randomness | None
    extent: Extent


def filled(plan: EvaluationPlan, infos: Sequence[CheckpointInfo]) -> Filled:
    """Return what the form shall show so that it asks for `plan` again, as far as it can.

    The form is about models of one data set, and has its own values of curves.

    Args:
        plan: of an evaluation.
        infos: the checkpoints that there are.

    Raises:
        InputError: none of the plan's models is there any more.
    """
    by_name = {info.name: info for info in infos}
    there = [by_name[name] for name in plan.checkpoints if name in by_name]
    if not there:
        names = ", ".join(plan.checkpoints)
        raise InputError(f"the models of this evaluation are no longer here: {names}")
    data = there[0].config.data.name
    sources = {one.surrogate for one in plan.attacks}
    shared = sources.pop() if len(sources) == 1 else None
    surrogate = shared if shared in by_name else None
    threats = [one.attack().threat_model for one in plan.attacks if has_parameter(one, "epsilon")]
    randomness = None
    if any(info.stochastic for info in [*there, *([by_name[surrogate]] if surrogate else [])]):
        randomness = _randomness(plan)
    kept: dict[str, AttackRun] = {}
    titles = [_title(one, threats, randomness, surrogate, kept) for one in plan.attacks]
    drawn = {curve.parameter for curve in plan.curves}
    asked = {name: parameter in drawn for name, (parameter, _) in CURVES.items()}
    extent = Extent(
        num_images=plan.num_images,
        check_reliability=plan.check_reliability,
        reliability_images=plan.reliability_images,
        seed=plan.seed,
        epsilon_curve="epsilon" in drawn,
        **asked,
    )
    return Filled(
        data,
        tuple(info.name for info in there if info.config.data.name == data),
        surrogate,
        threats[0] if threats else None,
        tuple(titles),
        kept,
        randomness,
        extent,
    )


def _randomness(plan: EvaluationPlan) -> Randomness:
    averaged = [one.parameters.get("eot_samples") or 1 for one in plan.attacks]
    return Randomness(
        passes_per_prediction=plan.eot_samples,
        num_repeats=plan.num_repeats,
        passes_per_gradient=min(averaged, default=1),
    )


def _title(
    choice: AttackRun,
    threats: Sequence[ThreatModel],
    randomness: Randomness | None,
    surrogate: str | None,
    kept: dict[str, AttackRun],
) -> str:
    """Return the title under which the form offers an attack; one that is no preset is kept."""
    threat = threats[0] if threats else choice.attack().threat_model
    if choice.surrogate == surrogate and choice.role == "check":
        for title in preset_titles():
            offered = planned_attack(title, threat, randomness, surrogate=surrogate)
            if offered.attack() == choice.attack():
                return title
    source = f"computed on {choice.surrogate_words}" if choice.surrogate else ""
    role = "as reported" if choice.role == "claim" else ""
    title = stem = ", ".join(filter(None, (choice.words, source, role)))
    number = 1
    while title in kept:
        number += 1
        title = f"{stem} ({number})"
    kept[title] = choice
    return title
