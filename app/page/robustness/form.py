"""The form of a new evaluation: models, attacks, images, checks, and what all of it will cost."""

import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import streamlit as st
from pydantic import Field

from app.page.robustness.link import DATA_KEY, models_key, select_evaluation
from app.page.robustness.offers import OFFERS, Randomness, offer_words, own_limits, planned_attack
from app.ui import cached
from app.ui.forms import parameter_form, show_input_error
from app.ui.units import count_words, duration_words
from app.ui.words import checkpoint_title, distance_words
from robust_core import job_control
from robust_core.acceleration.mode import fastest_engine
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import data_source
from robust_core.distributed import Team
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationPlan, PlannedAttack, PlannedCurve
from robust_core.evaluation_runs.plan import CurveParameter, has_parameter
from robust_core.evaluation_runs.subjects import default_attacks, fits
from robust_core.evaluation_runs.units import plan_cost
from robust_core.parameters import Parameters
from robust_core.threat_model import BallParameters, ThreatModel

FIRST_ATTACKS = ["PGD-20", "APGD", "Square-200"]
FIRST_ATTACKS_ON_DEFENCES = ["PGD-20", "Adaptive"]  # see `default_attacks`
FIRST_DATA, FIRST_MODELS = "digits", ["digits-standard", "digits-pgd_at"]
CURVE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of the radius
CURVES: dict[str, tuple[CurveParameter, tuple[float, ...]]] = {  # field -> parameter, values
    "steps_curve": ("num_steps", (1, 2, 5, 10, 20, 50, 100)),
    "queries_curve": ("num_queries", (10, 50, 200, 1000, 5000)),
    "restarts_curve": ("num_restarts", (1, 2, 5, 10)),
    "eot_curve": ("eot_samples", (1, 2, 5, 10, 20)),
}
CHOICES = ("radius_curve", *CURVES, "as_claimed")  # fields of `Extent` that `make_plan` translates
DOUBLE_CLICK = 2.0  # seconds in which a second press starts nothing
MEASURED_IMAGES = 16
STARTED = "robustness.started"
ATTACKS_KEY = "robustness.attacks"
SOURCE_KEY, JUDGED = "robustness.made_on", ""


class Extent(Parameters):
    """How much an evaluation looks at."""

    num_images: Annotated[
        int | None,
        Field(ge=1, description="A stratified sample of the test split; automatic: all."),
    ] = 100
    check_reliability: Annotated[
        bool,
        Field(description="Check every number for masked gradients and attacks that are too weak."),
    ] = True
    radius_curve: Annotated[
        bool, Field(description="Also measure accuracy at radii from 0 to twice the chosen one.")
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
    as_claimed: Annotated[
        bool,
        Field(
            description="Run every attack twice on a model that is used in a way of its own: once "
            "made on the bare network, as some papers did, and once on what is judged."
        ),
    ] = False
    reliability_images: Annotated[
        int, Field(ge=1, le=10_000, description="Images of the checks, a part of these.")
    ] = 32
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="Added to every attack's own.")] = 0


def new_evaluation(infos: Sequence[CheckpointInfo]) -> None:
    """Draw the form and the button that starts what it says.

    Args:
        infos: the checkpoints to choose from, at least one.
    """
    st.subheader("New evaluation", anchor=False)
    chosen = _pick_models(infos)
    source = _pick_source(infos, chosen)
    randomness = _pick_randomness(chosen if source is None else [*chosen, source])
    titles = _pick_attacks(chosen, randomness)
    extent = parameter_form(
        Extent, "robustness.extent", advanced=("reliability_images", "seed", *CHOICES)
    )
    ball = None if not chosen else _pick_ball(chosen[0])
    plan = None
    if chosen and extent is not None and ball is not None:
        try:
            made_on = None if source is None else source.name
            plan = make_plan(chosen, titles, ball, extent, randomness, made_on=made_on)
            _say_cost(plan, chosen, ball, source)
        except InputError as error:
            show_input_error(error)
    if st.button(
        "Start evaluation",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=plan is None,
    ):
        _start(plan)


def make_plan(
    infos: Sequence[CheckpointInfo],
    titles: Sequence[str],
    ball: ThreatModel,
    extent: Extent,
    randomness: Randomness | None = None,
    *,
    made_on: str | None = None,
) -> EvaluationPlan:
    """Return the plan: the attacks of `OFFERS` named by `titles`, see `planned_attack`.

    Raises:
        InputError: the choices do not go together.
    """
    attacks = [planned_attack(title, ball, randomness, made_on=made_on) for title in titles]
    judged = randomness or Randomness()
    if extent.as_claimed:
        if made_on is not None:
            raise InputError(
                f"as claimed makes the attacks on the judged models, not on {made_on}: leave out "
                "the one or the other"
            )
        if not all(info.inference for info in infos):
            raise InputError(
                "as claimed needs models used in a way of their own, such as 'digits-atld:imt'; "
                "the others are attacked as they are judged in any case"
            )
        claims = [
            attack.model_copy(update={"crafted_on": "", "role": "claim"}) for attack in attacks
        ]
        attacks = [one for pair in zip(claims, attacks, strict=True) for one in pair]
    engine = fastest_engine(Team().device)  # in a process of its own nobody waits for a compiler
    return EvaluationPlan.create(
        {
            "precision": engine.precision,
            "compiled": engine.compiled != "no",
            "checkpoints": [info.name for info in infos],
            "attacks": attacks,
            "curves": list(_curves(attacks, ball, extent)),
            "eot_samples": judged.passes_that_decide,
            "num_verdicts": judged.answers_that_must_all_be_right,
            **extent.model_dump(exclude=set(CHOICES)),
        }
    )


def _curves(
    attacks: Sequence[PlannedAttack], ball: ThreatModel, extent: Extent
) -> Iterator[PlannedCurve]:
    """Yield the curves that are wanted and that an attack has the parameter for.

    Raises:
        InputError: an attack cannot take the values of a curve.
    """
    if extent.eot_curve and any(one.name == "autoattack" for one in attacks):
        raise InputError(
            "AutoAttack averages 20 passes or none, so it has no curve over the passes per "
            "gradient: leave out the one or the other"
        )
    radii = tuple(share * ball.epsilon for share in CURVE_SHARES)
    for name, (parameter, values) in {"radius_curve": ("epsilon", radii), **CURVES}.items():
        if getattr(extent, name) and any(has_parameter(one, parameter) for one in attacks):
            yield PlannedCurve(parameter=parameter, values=values)


def _pick_models(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    by_name = {info.name: info for info in infos}
    data_names = list(dict.fromkeys(info.config.data.name for info in infos))
    if st.session_state.get(DATA_KEY) not in data_names:
        first = FIRST_DATA if FIRST_DATA in data_names else data_names[0]
        st.session_state[DATA_KEY] = first
    data = st.selectbox("Data set", data_names, key=DATA_KEY, persist_state="session")
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


def _pick_source(
    infos: Sequence[CheckpointInfo], chosen: Sequence[CheckpointInfo]
) -> CheckpointInfo | None:
    """Draw what the attacks are made on; None: on each of the chosen models itself."""
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
    key = f"{SOURCE_KEY}.{first.config.data.name}"
    if st.session_state.get(key) not in others:
        st.session_state[key] = JUDGED
    name = st.selectbox(
        "Attacks made on",
        [JUDGED, *others],
        format_func=lambda name: "each model itself" if name == JUDGED else name,
        key=key,
        persist_state="session",
        help="Another model: images that fool it are shown to the chosen models, which is all that "
        "an attacker without access can do. Such a transfer attack is weak, so the accuracy is an "
        "upper bound and says little about how robust a model is.",
    )
    return others.get(name)


def _pick_randomness(infos: Sequence[CheckpointInfo]) -> Randomness | None:
    """Draw what matters for models that answer at random; None, and nothing, without one."""
    names = [info.name for info in infos if _is_random(info)]
    if not names:
        return None
    words = f"{' and '.join(names)} {'answers' if len(names) == 1 else 'answer'} at random"
    if len(names) < len(infos):
        words += (
            "; the other models are attacked in the same way, which costs more and in AutoAttack "
            "finds less: better judge them apart"
        )
    st.caption(f"{words}.")
    return parameter_form(Randomness, "robustness.randomness")


def _is_random(info: CheckpointInfo) -> bool:
    try:
        return cached.load_model(info).stochastic
    except InputError:
        return False  # it cannot be judged at all, and the evaluation says why


def _pick_attacks(chosen: Sequence[CheckpointInfo], randomness: Randomness | None) -> list[str]:
    hard = "adaptive" in default_attacks(chosen)
    st.session_state.setdefault(ATTACKS_KEY, FIRST_ATTACKS_ON_DEFENCES if hard else FIRST_ATTACKS)
    return st.multiselect(
        "Attacks",
        list(OFFERS),
        format_func=lambda title: offer_words(title, randomness),
        key=ATTACKS_KEY,
        persist_state="session",
        placeholder="None: clean accuracy only",
        wrap=True,
        help="An image counts as robust only if it survives. AutoAttack is the complete ensemble "
        "of four attacks, the reference of the field.",
    )


def _pick_ball(info: CheckpointInfo) -> ThreatModel | None:
    data = info.config.data.name
    standard = info.config.data_threat_model()
    words = f"{standard.norm}, {distance_words(standard.norm, standard.epsilon)}"
    with st.expander("Radius", icon=":material/radio_button_checked:", key="robustness.radius"):
        st.caption(f"Standard of {data}: {words}.")
        ball = parameter_form(
            BallParameters,
            f"robustness.ball.{data}",
            initial={"norm": standard.norm, "epsilon": standard.epsilon},
        )
    return None if ball is None else ball.threat_model


def _say_cost(
    plan: EvaluationPlan,
    infos: Sequence[CheckpointInfo],
    ball: ThreatModel,
    source: CheckpointInfo | None,
) -> None:
    """Say what is going to happen, and how much of it."""
    passes = seconds = 0.0
    num_images = 0
    for info in infos:
        if not data_source(info.config.data.name).is_available():
            st.info(f"{info.config.data.name} is not on this computer yet and is downloaded first.")
            return
        num_images = len(cached.load_images(info, plan.split))
        num_images = min(num_images, plan.num_images or num_images)
        own = plan_cost(plan, num_images, stochastic=_is_random(info))
        passes += own
        seconds += own * cached.seconds_per_pass(source or info, MEASURED_IMAGES)
    free = [one for one in plan.attacks if one.create().threat_model != ball]
    within = ""
    if len(free) < len(plan.attacks):
        within = f" within {ball.norm} {distance_words(ball.norm, ball.epsilon)}"
    if free:
        within += f", {' and '.join(map(own_limits, free))}"
    if source is not None and plan.attacks:
        within += f"; made on {source.name}, a transfer attack"
    st.caption(
        f"{count_words(num_images, 'test image')}, {count_words(len(infos), 'model')}, "
        f"{count_words(len(plan.attacks), 'attack')}{within}. Cost: at most {passes:,.0f} passes "
        f"of an image, {duration_words(seconds)} by a measurement here; images that fall early "
        "make it less."
    )


def _start(plan: EvaluationPlan | None) -> None:
    if plan is None or time.monotonic() - st.session_state.get(STARTED, -1e9) < DOUBLE_CLICK:
        return
    try:
        run_id = job_control.start_evaluation(plan)
    except InputError as error:
        show_input_error(error)
        return
    st.session_state[STARTED] = time.monotonic()
    select_evaluation(run_id)
