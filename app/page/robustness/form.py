"""The form of a new evaluation: models, attacks, images, checks, and their cost."""

from collections.abc import Sequence

import streamlit as st

from app.page.robustness.attack_choices import (
    Randomness,
    preset_label,
    preset_titles,
)
from app.page.robustness.cost import is_stochastic, show_cost
from app.page.robustness.link import (
    ATTACKS_KEY,
    DATA,
    EXTENT_KEY,
    ITSELF,
    KEPT_KEY,
    RANDOMNESS_KEY,
    models_key,
    select_evaluation,
    surrogate_key,
    threat_model_key,
)
from app.page.robustness.planning import CHOICES, Extent, make_plan
from app.page.robustness.quick import offer_quick_verdict
from app.ui.forms import parameter_form, show_input_error
from app.ui.job_controls import start
from app.ui.plain import in_markdown
from app.ui.words import checkpoint_title, distance_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation_runs.subjects import default_attacks, fits
from robust_core.threat_model import ThreatModel, ThreatModelParameters

FIRST_ATTACKS = ["PGD-20", "APGD", "Square-200"]
FIRST_ATTACKS_ON_DEFENCES = ["PGD-20", "Adaptive"]  # see `default_attacks`
FIRST_DATA, FIRST_MODELS = "digits", ["digits-standard", "digits-pgd_at"]


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
    extent = parameter_form(Extent, EXTENT_KEY, advanced=("reliability_images", "seed", *CHOICES))
    threat_model = None if not chosen else _pick_threat_model(chosen[0])
    plan = None
    if chosen and extent is not None and threat_model is not None:
        try:
            name = None if surrogate is None else surrogate.name
            kept = st.session_state.get(KEPT_KEY, {})
            plan = make_plan(
                chosen, titles, threat_model, extent, randomness, surrogate=name, kept=kept
            )
            show_cost(plan, chosen, threat_model, surrogate)
        except InputError as error:  # such as of a model without images
            show_input_error(error)
            plan = None
    pressed = st.button(
        "Start evaluation",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=plan is None,
    )
    if pressed and plan is not None:
        start("robustness", plan, select_evaluation)
    if plan is not None and threat_model is not None:
        offer_quick_verdict(chosen, threat_model)


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
    key = surrogate_key(first.config.data.name)
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
    names = [info.name for info in infos if is_stochastic(info)]
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
    return parameter_form(Randomness, RANDOMNESS_KEY)


def _pick_attacks(chosen: Sequence[CheckpointInfo], randomness: Randomness | None) -> list[str]:
    hard = "adaptive" in default_attacks(chosen)
    st.session_state.setdefault(ATTACKS_KEY, FIRST_ATTACKS_ON_DEFENCES if hard else FIRST_ATTACKS)
    return st.multiselect(
        "Attacks",
        [*preset_titles(), *st.session_state.get(KEPT_KEY, ())],
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
            threat_model_key(data),
            initial={"norm": standard.norm, "epsilon": standard.epsilon},
        )
    return None if chosen is None else chosen.threat_model
