"""The form of a new run: three choices and a button; all other settings are in an expander."""

from collections.abc import Mapping
from typing import Any, cast

import streamlit as st

from app.page.train.preview import describe_run, say_where
from app.ui.forms import parameter_form, show_input_error
from app.ui.job_controls import start
from app.ui.plain import in_markdown
from app.ui.run_link import BUDGET, DATA, LINK, METHOD, OPTION, select_run
from app.ui.state import Choice
from app.ui.units import capitalised
from robust_core.config.choice import DataChoice
from robust_core.config.presets import NO_OPTION, Budget, list_options, preset
from robust_core.config.run import EvaluationConfig, OptimiserConfig, RunConfig, ScheduleConfig
from robust_core.data import data_source
from robust_core.errors import InputError
from robust_core.methods.base import METHODS
from robust_core.models.base import MODELS
from robust_core.parameters import Parameters

BUDGET_HELP = (
    "Quick: a small network and few epochs, for two CPU cores and the embedded data sets. "
    "As published: the recipe of the paper, for a GPU."
)
OPTION_WORDS: dict[str, str] = {NO_OPTION: "None", "awp": "AWP", "he": "HE"}
OPTION_HELP = (
    "AWP (adversarial weight perturbation): the loss is computed at the worst weights nearby, "
    "which reduces robust overfitting. HE (hypersphere embedding): logits are cosines of features "
    "and class weights, with a margin."
)
PARTS = ("data", "model", "method", "optimiser", "schedule", "evaluation")


def new_run() -> None:
    """Draw the form and the button that starts the run."""
    st.subheader("New run", anchor=False)
    proposed = _pick_preset()
    place = st.container()
    config = None if proposed is None else _all_settings(proposed)
    with place:
        if config is not None:
            config = describe_run(config)
        elif proposed is not None:
            st.error("A setting is not valid; see All settings.")
        pressed = st.button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=config is None,
        )
        if pressed and config is not None:
            start("train", config, select_run)


def _pick_preset() -> RunConfig | None:
    data = DATA.select("Data set", format_func=_data_title, **_remembered(DATA))
    st.caption(in_markdown(_data_summary(data)))
    say_where()
    method = METHOD.select("Method", **_remembered(METHOD))
    st.caption(_summary(method))
    option = _pick_option(method)
    budget = cast(Budget, BUDGET.segmented("Preset", help=BUDGET_HELP, **_remembered(BUDGET)))
    try:
        if not data_source(data).is_available():
            st.info(f"{in_markdown(data)} is not on this computer yet; the run downloads it first.")
        return preset(data, method, budget, option)
    except InputError as error:
        show_input_error(error)
        return None


def _pick_option(method: str) -> str:
    options = list_options(method)
    if len(options) == 1:
        return NO_OPTION
    return OPTION.segmented(
        "Option",
        among=options,
        format_func=OPTION_WORDS.__getitem__,
        help=OPTION_HELP,
        **_remembered(OPTION),
    )


def _remembered(choice: Choice) -> dict[str, Any]:
    """Return the callback that keeps the address in step with the widget of a choice."""
    return {"on_change": lambda: LINK.put(choice.name, choice.value)}


def _data_title(name: str) -> str:
    try:
        return data_source(name).title.partition(" (")[0]
    except InputError:
        return name


def _data_summary(name: str) -> str:
    """Return the details that a title has in brackets: "Handwriting, 1x32x32, embedded."."""
    try:
        details = data_source(name).title.partition(" (")[2].removesuffix(")")
    except InputError:
        return ""
    return f"{capitalised(details)}." if details else ""


def _summary(method: str) -> str:
    return (METHODS.get(method).__doc__ or method).strip().split("\n\n")[0].replace("\n    ", " ")


def _all_settings(start: RunConfig) -> RunConfig | None:
    """Draw all settings, starting at the preset's values, and return the run they describe.

    Each preset keeps its own edits.
    """
    values = start.model_dump(mode="json")
    key = f"train.form.{start.data.name}.{start.method.name}.{BUDGET.value}"
    option = OPTION.value
    if option != NO_OPTION and option in list_options(start.method.name):
        key += f".{option}"
    with st.expander("All settings", icon=":material/tune:", key="train.all_settings"):
        st.markdown("**Run**")
        run = st.container()
        parts = {
            "method": _choice("Method", values["method"], METHODS.get(start.method.name), key),
            "model": _network(values["model"], key),
            "optimiser": _part("Optimiser", OptimiserConfig, values["optimiser"], key),
            "schedule": _part("Learning rate schedule", ScheduleConfig, values["schedule"], key),
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
        with run:  # drawn even if another part is invalid, so that no entry is lost
            config = parameter_form(RunConfig, f"{key}.run", initial=initial, omit=PARTS)
    return config if len(usable) == len(parts) else None


def _part(
    title: str,
    model: type[Parameters],
    values: Mapping[str, Any],
    key: str,
    omit: tuple[str, ...] = (),
    advanced: tuple[str, ...] = (),
) -> dict[str, Any] | None:
    if set(model.model_fields) - set(omit):
        st.markdown(f"**{title}**")
    form = parameter_form(model, f"{key}.{title}", initial=values, omit=omit, advanced=advanced)
    return None if form is None else form.model_dump(mode="json")


def _choice(
    title: str,
    choice: Mapping[str, Any],
    entry: Any,
    key: str,
    advanced: tuple[str, ...] = (),
) -> dict[str, Any] | None:
    own_key = f"{key}.{choice['name']}"
    parameters = _part(title, entry.Parameters, choice["parameters"], own_key, advanced=advanced)
    return None if parameters is None else {**choice, "parameters": parameters}


def _network(choice: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    name_key = f"{key}.network"
    st.session_state.setdefault(name_key, choice["name"])
    st.markdown("**Network**")
    name = st.selectbox("Architecture", _trainable(), key=name_key, persist_state="session")
    same = name == choice["name"]
    chosen = {"name": name, "parameters": choice["parameters"] if same else {}}
    model = MODELS.get(name)
    return _choice("Architecture settings", chosen, model, key, model.advanced)


def _trainable() -> list[str]:
    """Return the networks that need no file of a person's."""
    return [name for name in MODELS.names() if not MODELS.get(name).from_file]


def _data(choice: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    chosen = _choice("Data", choice, data_source(choice["name"]), key)
    split = _part("Data split", DataChoice, choice, key, omit=("name", "parameters"))
    return None if chosen is None or split is None else {**chosen, "seed": split["seed"]}
