"""The form of a new evaluation: models, attacks, images, checks, and their cost."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import streamlit as st
from pydantic import Field

from app.page.robustness.attack_choices import (
    Randomness,
    as_published,
    own_threat_model,
    planned_attack,
    preset_label,
    preset_titles,
)
from app.page.robustness.link import DATA, models_key, select_evaluation
from app.ui import models
from app.ui.forms import parameter_form, show_input_error
from app.ui.job_controls import start
from app.ui.plain import in_markdown
from app.ui.units import count_words, duration_words
from app.ui.words import checkpoint_title, distance_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.config.attack_run import AttackRun
from robust_core.data import data_source
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationPlan, PlannedCurve
from robust_core.evaluation_runs.plan import CurveParameter, has_parameter
from robust_core.evaluation_runs.subjects import default_attacks, fits
from robust_core.evaluation_runs.units import plan_cost
from robust_core.parameters import Parameters
from robust_core.threat_model import ThreatModel, ThreatModelParameters

FIRST_ATTACKS = ["PGD-20", "APGD", "Square-200"]
FIRST_ATTACKS_ON_DEFENCES = ["PGD-20", "Adaptive"]  # see `default_attacks`
FIRST_DATA, FIRST_MODELS = "digits", ["digits-standard", "digits-pgd_at"]
CURVE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of epsilon
CURVES: dict[str, tuple[CurveParameter, tuple[float, ...]]] = {  # field -> parameter, values
    "steps_curve": ("num_steps", (1, 2, 5, 10, 20, 50, 100)),
    "queries_curve": ("num_queries", (10, 50, 200, 1000, 5000)),
    "restarts_curve": ("num_restarts", (1, 2, 5, 10)),
    "eot_curve": ("eot_samples", (1, 2, 5, 10, 20)),
}
CHOICES = ("epsilon_curve", *CURVES, "also_on_base_network")  # translated by `make_plan`
MEASURED_IMAGES = 16
ATTACKS_KEY = "robustness.attacks"
SURROGATE_KEY, ITSELF = "robustness.surrogate", ""


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


def new_evaluation(infos: Sequence[CheckpointInfo]) -> None:
    """Draw the form and the button that starts the evaluation.

    Args:
        infos: the checkpoints to choose from, at least one.
    """
    st.subheader("New evaluation", anchor=False)
    chosen = _pick_models(infos)
    surrogate = _pick_surrogate(infos, chosen)
    randomness = _pick_randomness(chosen if surrogate is None else [*chosen, surrogate])
    titles = _pick_attacks(chosen, randomness)
    extent = parameter_form(
        Extent, "robustness.extent", advanced=("reliability_images", "seed", *CHOICES)
    )
    threat_model = None if not chosen else _pick_threat_model(chosen[0])
    plan = None
    if chosen and extent is not None and threat_model is not None:
        try:
            name = None if surrogate is None else surrogate.name
            plan = make_plan(chosen, titles, threat_model, extent, randomness, surrogate=name)
            _show_cost(plan, chosen, threat_model, surrogate)
        except InputError as error:
            show_input_error(error)
    pressed = st.button(
        "Start evaluation",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=plan is None,
    )
    if pressed and plan is not None:
        start("robustness", plan, select_evaluation)


def make_plan(
    infos: Sequence[CheckpointInfo],
    titles: Sequence[str],
    threat_model: ThreatModel,
    extent: Extent,
    randomness: Randomness | None = None,
    *,
    surrogate: str | None = None,
) -> EvaluationPlan:
    """Return the plan with the presets named by `titles`, see `planned_attack`.

    Raises:
        InputError: the choices contradict each other.
    """
    attacks = [
        planned_attack(title, threat_model, randomness, surrogate=surrogate) for title in titles
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


def _pick_models(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    by_name = {info.name: info for info in infos}
    data = DATA.select("Data set")
    names = [info.name for info in infos if info.config.data.name == data]
    key = models_key(data)
    kept = [name for name in st.session_state.get(key, FIRST_MODELS) if name in names]
    if key not in st.session_state or kept != st.session_state[key]:
        st.session_state[key] = kept or names[:1]
    chosen = st.multiselect(
        "Models",
        names,
        format_func=lambda name: checkpoint_title(by_name[name]).partition(" · ")[2],
        key=key,
        persist_state="session",
        placeholder="Choose at least one",
        wrap=True,
    )
    return [by_name[name] for name in chosen]


def _pick_surrogate(
    infos: Sequence[CheckpointInfo], chosen: Sequence[CheckpointInfo]
) -> CheckpointInfo | None:
    """Draw the choice of a surrogate model; None: each model is attacked itself."""
    if not chosen:
        return None
    first = chosen[0]
    others = {
        info.name: info
        for info in infos
        if info.config.data.name == first.config.data.name
        and info not in chosen
        and fits(first, info)
    }
    key = f"{SURROGATE_KEY}.{first.config.data.name}"
    if st.session_state.get(key) not in others:
        st.session_state[key] = ITSELF
    name = st.selectbox(
        "Surrogate model",
        [ITSELF, *others],
        format_func=lambda name: "none: attack each model itself" if name == ITSELF else name,
        key=key,
        persist_state="session",
        help="Model that the attacks are computed on, for an attacker without access to the "
        "evaluated models. Such a transfer attack is weak, so the accuracy is an upper bound and "
        "says little about robustness.",
    )
    return others.get(name)


def _pick_randomness(infos: Sequence[CheckpointInfo]) -> Randomness | None:
    """Draw the settings for stochastic models; None, and nothing, without one."""
    names = [info.name for info in infos if _is_stochastic(info)]
    if not names:
        return None
    kind = "is a stochastic model" if len(names) == 1 else "are stochastic models"
    words = f"{' and '.join(names)} {kind}"
    if len(names) < len(infos):
        words += (
            "; the other models are attacked in the same way, but this is slower and weakens "
            "AutoAttack; evaluate them separately"
        )
    st.caption(f"{in_markdown(words)}.")
    return parameter_form(Randomness, "robustness.randomness")


def _is_stochastic(info: CheckpointInfo) -> bool:
    try:
        return models.load_model(info).stochastic
    except InputError:
        return False  # it cannot be evaluated at all, and the evaluation says why


def _pick_attacks(chosen: Sequence[CheckpointInfo], randomness: Randomness | None) -> list[str]:
    hard = "adaptive" in default_attacks(chosen)
    st.session_state.setdefault(ATTACKS_KEY, FIRST_ATTACKS_ON_DEFENCES if hard else FIRST_ATTACKS)
    return st.multiselect(
        "Attacks",
        preset_titles(),
        format_func=lambda title: preset_label(title, randomness),
        key=ATTACKS_KEY,
        persist_state="session",
        placeholder="None: clean accuracy only",
        wrap=True,
        help="Robust accuracy is the share of images that stay correct under an attack. AutoAttack "
        "is the complete ensemble of four attacks, the reference of the field.",
    )


def _pick_threat_model(info: CheckpointInfo) -> ThreatModel | None:
    data = info.config.data.name
    standard = info.config.data_threat_model()
    words = f"{standard.norm}, {distance_words(standard.norm, standard.epsilon)}"
    with st.expander(
        "Threat model", icon=":material/radio_button_checked:", key="robustness.threat_model"
    ):
        st.caption(f"Default for {in_markdown(data)}: {words}.")
        chosen = parameter_form(
            ThreatModelParameters,
            f"robustness.threat_model.{data}",
            initial={"norm": standard.norm, "epsilon": standard.epsilon},
        )
    return None if chosen is None else chosen.threat_model


def _show_cost(
    plan: EvaluationPlan,
    infos: Sequence[CheckpointInfo],
    threat_model: ThreatModel,
    surrogate: CheckpointInfo | None,
) -> None:
    """Show what the evaluation consists of, and its cost."""
    passes = seconds = 0.0
    num_images = 0
    for info in infos:
        if plan.split not in data_source(info.config.data.name).present_splits():
            st.info(
                f"{in_markdown(info.config.data.name)} is not on this computer yet; it is "
                "downloaded first."
            )
            return
        num_images = len(models.load_images(info, plan.split))
        num_images = min(num_images, plan.num_images or num_images)
        own = plan_cost(plan, num_images, stochastic=_is_stochastic(info))
        passes += own
        seconds += own * models.seconds_per_pass(surrogate or info, MEASURED_IMAGES)
    others = [one for one in plan.attacks if one.attack().threat_model != threat_model]
    words = ""
    if len(others) < len(plan.attacks):
        words = (
            f" with {threat_model.norm} {distance_words(threat_model.norm, threat_model.epsilon)}"
        )
    if others:
        words += f", {' and '.join(map(own_threat_model, others))}"
    if surrogate is not None and plan.attacks:
        words += f"; transfer attack from the surrogate model {in_markdown(surrogate.name)}"
    st.caption(
        f"{count_words(num_images, 'test image')}, {count_words(len(infos), 'model')}, "
        f"{count_words(len(plan.attacks), 'attack')}{words}. Cost: at most {passes:,.0f} passes "
        f"of an image, {duration_words(seconds)} as measured here; less where images are "
        "misclassified early."
    )
