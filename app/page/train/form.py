"""The form of a new run: three choices and a button; everything else waits behind an expander."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.ui.forms import parameter_form, show_input_error
from app.ui.run_link import (
    BUDGET_KEY,
    BUDGETS,
    DATA_KEY,
    LINK,
    METHOD_KEY,
    OPTION_KEY,
    data_names,
    select_run,
)
from app.ui.units import count_words
from app.ui.words import attack_words
from robust_core import job_control
from robust_core.attacks.base import Attack
from robust_core.config.presets import NO_OPTION, list_options, preset
from robust_core.config.run import (
    DataChoice,
    EvaluationConfig,
    OptimiserConfig,
    RunConfig,
    ScheduleConfig,
)
from robust_core.data import data_notes, data_source
from robust_core.errors import InputError
from robust_core.methods import list_methods
from robust_core.methods.base import METHODS
from robust_core.models.base import MODELS
from robust_core.parameters import Parameters

FIRST = {DATA_KEY: "digits", METHOD_KEY: "pgd_at", BUDGET_KEY: "quick"}
BUDGET_WORDS: dict[str, str] = {"quick": "Quick", "paper": "As published"}
BUDGET_HELP = (
    "Quick: a small network and few epochs, meant for two cores and the embedded data sets. "
    "As published: the recipe of the paper, meant for a graphics card."
)
OPTION_WORDS: dict[str, str] = {NO_OPTION: "None", "awp": "AWP", "he": "HE"}
OPTION_HELP = (
    "AWP, adversarial weight perturbation: the loss is taken at the worst weights nearby, which "
    "holds robust overfitting back. HE, hypersphere embedding: logits are cosines of features and "
    "classes, with a margin."
)
DOUBLE_CLICK = 2.0  # seconds in which a second press starts nothing
STARTED = "train.started"
PARTS = ("data", "model", "method", "optimiser", "schedule", "evaluation")


def new_run() -> None:
    """Draw the form and the button that starts what it says."""
    st.subheader("New run", anchor=False)
    start = _pick_preset()
    place = st.container()
    config = None if start is None else _all_settings(start)
    with place:
        if config is not None:
            _say_what_happens(config)
        elif start is not None:
            st.error("A setting cannot be used; All settings says which.")
        if st.button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=config is None,
        ):
            _start(config)


def _pick_preset() -> RunConfig | None:
    names, methods = data_names(), list_methods()
    for key, known in ((DATA_KEY, names), (METHOD_KEY, methods), (BUDGET_KEY, BUDGETS)):
        if st.session_state.get(key) not in known:
            st.session_state[key] = FIRST[key] if FIRST[key] in known else known[0]
    data = st.selectbox(
        "Data set",
        names,
        format_func=_data_title,
        key=DATA_KEY,
        persist_state="session",
        on_change=_remember,
        args=("data", DATA_KEY),
    )
    st.caption(_data_summary(data))
    method = st.selectbox(
        "Method",
        methods,
        key=METHOD_KEY,
        persist_state="session",
        on_change=_remember,
        args=("method", METHOD_KEY),
    )
    st.caption(_summary(method))
    option = _pick_option(method)
    budget = _pick("Preset", BUDGET_WORDS, BUDGETS, "budget", BUDGET_KEY, BUDGET_HELP)
    try:
        if not data_source(data).is_available():
            st.info(f"{data} is not on this computer yet; the run downloads it first.")
        return preset(data, method, budget, option)
    except InputError as error:
        show_input_error(error)
        return None


def _pick_option(method: str) -> str:
    options = list_options(method)
    if len(options) == 1:
        return NO_OPTION
    if st.session_state.get(OPTION_KEY) not in options:
        st.session_state[OPTION_KEY] = NO_OPTION
    return _pick("Option", OPTION_WORDS, options, "option", OPTION_KEY, OPTION_HELP)


def _pick(
    label: str, words: Mapping[str, str], names: Sequence[str], part: str, key: str, text: str
) -> str:
    """Offer one of a few names, which `part` of the link remembers."""
    return str(
        st.segmented_control(
            label,
            names,
            format_func=lambda name: words[name],
            key=key,
            persist_state="session",
            required=True,
            help=text,
            on_change=_remember,
            args=(part, key),
        )
    )


def _remember(name: str, key: str) -> None:
    LINK.put(name, st.session_state[key])


def _data_title(name: str) -> str:
    try:
        return data_source(name).title.partition(" (")[0]
    except InputError:
        return name


def _data_summary(name: str) -> str:
    """Return what a title says in brackets behind the name: "Handwriting, 1x32x32, embedded."."""
    try:
        details = data_source(name).title.partition(" (")[2].removesuffix(")")
    except InputError:
        return ""
    return f"{details[:1].upper()}{details[1:]}." if details else ""


def _summary(method: str) -> str:
    return (METHODS.get(method).__doc__ or method).strip().split("\n\n")[0].replace("\n    ", " ")


def _say_what_happens(config: RunConfig) -> None:
    limit = config.evaluation.num_images
    images = "all" if limit is None else f"up to {limit:,}"
    st.caption(
        f"{count_words(config.epochs, 'epoch')} of {config.model.name}, "
        f"{config.optimiser.name.upper()} at {config.optimiser.learning_rate:g}. Judged after each "
        f"epoch on {images} validation images under {_words(config.validation_attack())}; at the "
        f"end on test images under {_words(config.test_attack())}."
    )
    for warning in config.warnings():
        st.caption(f":material/warning: {warning[:1].upper()}{warning[1:]}.")
    try:
        for note in data_notes(config.data.name, config.data.parameters):
            st.caption(f"{note[:1].upper()}{note[1:]}.")
    except InputError as error:
        show_input_error(error)


def _words(attack: Attack) -> str:
    return attack_words(attack.name, attack.model_dump(mode="json"))


def _start(config: RunConfig | None) -> None:
    if config is None or time.monotonic() - st.session_state.get(STARTED, -1e9) < DOUBLE_CLICK:
        return
    try:
        run_id = job_control.start(config)
    except InputError as error:
        show_input_error(error)
        return
    st.session_state[STARTED] = time.monotonic()
    select_run(run_id)


def _all_settings(start: RunConfig) -> RunConfig | None:
    """Draw every setting, with the preset's value in it, and return the run they describe.

    Each preset keeps its own edits.
    """
    values = start.model_dump(mode="json")
    key = f"train.form.{start.data.name}.{start.method.name}.{st.session_state[BUDGET_KEY]}"
    option = st.session_state.get(OPTION_KEY, NO_OPTION)
    if option != NO_OPTION and option in list_options(start.method.name):
        key += f".{option}"
    with st.expander("All settings", icon=":material/tune:", key="train.all_settings"):
        st.markdown("**Run**")
        run = st.container()
        parts = {
            "method": _choice("Method", values["method"], METHODS.get(start.method.name), key),
            "model": _network(values["model"], key),
            "optimiser": _part("Optimiser", OptimiserConfig, values["optimiser"], key),
            "schedule": _part("Learning rate over time", ScheduleConfig, values["schedule"], key),
            "data": _data(values["data"], key),
            "evaluation": _part(
                "Evaluation",
                EvaluationConfig,
                values["evaluation"],
                key,
                omit=("attack", "test_attack", "further_attacks"),
            ),
        }
        usable = {name: part for name, part in parts.items() if part is not None}
        initial = {**values, "title": "", **usable}
        with run:  # drawn whatever the others say: a field that vanished would be a loss
            config = parameter_form(RunConfig, f"{key}.run", initial=initial, omit=PARTS)
    return config if len(usable) == len(parts) else None


def _part(
    title: str,
    model: type[Parameters],
    values: Mapping[str, Any],
    key: str,
    omit: tuple[str, ...] = (),
) -> dict[str, Any] | None:
    if set(model.model_fields) - set(omit):
        st.markdown(f"**{title}**")
    form = parameter_form(model, f"{key}.{title}", initial=values, omit=omit)
    return None if form is None else form.model_dump(mode="json")


def _choice(title: str, choice: Mapping[str, Any], entry: Any, key: str) -> dict[str, Any] | None:
    parameters = _part(title, entry.Parameters, choice["parameters"], f"{key}.{choice['name']}")
    return None if parameters is None else {**choice, "parameters": parameters}


def _network(choice: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    name_key = f"{key}.network"
    st.session_state.setdefault(name_key, choice["name"])
    st.markdown("**Network**")
    name = st.selectbox("Architecture", MODELS.names(), key=name_key, persist_state="session")
    same = name == choice["name"]
    chosen = {"name": name, "parameters": choice["parameters"] if same else {}}
    return _choice("Of this architecture", chosen, MODELS.get(name), key)


def _data(choice: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    chosen = _choice("Data", choice, data_source(choice["name"]), key)
    split = _part("Division of the data", DataChoice, choice, key, omit=("name", "parameters"))
    return None if chosen is None or split is None else {**chosen, "seed": split["seed"]}
