"""The questions about what was brought: only those that it does not answer itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app.page.models.pixels import ask_pixels
from app.ui.forms import has_form, parameter_form
from app.ui.plain import in_markdown
from robust_core.data import data_source, list_data, own_data
from robust_core.data.base import DataSource
from robust_core.errors import InputError
from robust_core.importing.layout import Candidate, Normalisation, choices
from robust_core.importing.looking import Look, narrowed
from robust_core.importing.presets import PRESETS
from robust_core.importing.sources import Told
from robust_core.models.base import MODELS
from robust_core.models.normalisation import NORMALISATION_FIELDS

WAYS = {"published": "A published network", "other": "Another network"}
KEPT: dict[str, Any] = {"persist_state": "session"}
SHOWN_NAMES = 5


@dataclass(frozen=True)
class Said:
    """What a person has said of a file, as far as it goes.

    Attributes:
        at: prefix of the keys of the widgets, another one for each file.
        preset, architecture, parameters, data, class_names, image_shape, key, name, claim: as of
            `import_model`.
        scale: mean and std that the person states.
        declared: mean and std that the file, the preset or the person states; None: nobody yet.
        left: the networks that the file may still be.
    """

    at: str
    preset: str | None = None
    architecture: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None
    class_names: tuple[str, ...] | None = None
    image_shape: tuple[int, int, int] | None = None
    scale: Normalisation | None = None
    declared: Normalisation | None = None
    left: tuple[Candidate, ...] = ()
    name: str | None = None
    claim: float | None = None


@dataclass(frozen=True)
class _Network:
    """Which network it is said to be; the fields are as of `Said`."""

    preset: str | None = None
    architecture: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    left: tuple[Candidate, ...] = ()


def ask_key(look: Look, at: str) -> str | None:
    """Ask which set of weights of a file is meant."""
    return _select(
        "Which of its sets of weights?",
        look.keys,
        placeholder="choose one",
        key=f"{at}.key",
        help="EMA: moving average of the weights during training, usually more accurate.",
    )


def ask(look: Look, at: str) -> Said:
    """Ask what a file does not tell and return what has been said so far.

    Raises:
        InputError: something that was typed cannot be read.
    """
    network = _Network() if look.told else _ask_network(look, at)
    st.markdown("**What it classifies**")
    data, names, shape = _ask_classes(look, network, at)
    st.markdown("**How it expects its pixels**")
    scale, declared = _ask_scale(look, network, data, at)
    st.markdown("**Name and reported accuracy**")
    name = st.text_input("Name", key=f"{at}.name", placeholder="that of the file", **KEPT)
    claim = st.number_input(
        "Clean accuracy that is reported for it, in per cent",
        min_value=0.0,
        max_value=100.0,
        value=None,
        key=f"{at}.claim",
        placeholder="nothing to compare",
        **KEPT,
    )
    return Said(
        at,
        preset=network.preset,
        architecture=network.architecture,
        parameters=network.parameters,
        left=network.left,
        data=data,
        class_names=names,
        image_shape=shape,
        scale=scale,
        declared=declared,
        name=str(name or "").strip() or None,
        claim=None if claim is None else claim / 100,
    )


def _ask_network(look: Look, at: str) -> _Network:
    st.markdown("**Which network it is**")
    if look.presets:
        way = st.segmented_control(
            "Which network it is",
            WAYS,
            format_func=WAYS.__getitem__,
            default="published",
            required=True,
            label_visibility="collapsed",
            key=f"{at}.way",
            **KEPT,
        )
        if way == "published":
            return _ask_preset(look, at)
    if not look.candidates:
        return _ask_architecture(look, at)
    architectures = list(dict.fromkeys(one.architecture for one in look.candidates))
    architecture = architectures[0] if len(architectures) == 1 else None
    if architecture is None:
        architecture = _select("Architecture", architectures, f"{at}.fitting")
    fitting = [one for one in look.candidates if one.architecture == architecture]
    if not fitting:
        return _Network(left=look.candidates)
    st.caption(
        f"By names and shapes: {in_markdown(fitting[0].layout)}, {_sizes(fitting[0])}."
        + (" Not in the file, but it changes the outputs:" if len(fitting) > 1 else "")
    )
    said = {name: _ask_choice(name, values, at) for name, values in choices(fitting).items()}
    said = {name: value for name, value in said.items() if value is not None}
    return _Network(None, architecture, said, narrowed(fitting, said))


def _sizes(candidate: Candidate) -> str:
    sizes = [
        f"{k.replace('_', ' ')} {v}" for k, v in candidate.parameters.items() if type(v) is int
    ]
    return ", ".join([*sizes, f"{candidate.num_classes} outputs"])


def _select(label: str, options: Sequence[str], key: str, **more: Any) -> str | None:
    """Draw a list in which nothing is chosen at first; a choice that is gone is forgotten."""
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    return st.selectbox(label, options, index=None, key=key, **more, **KEPT)


def twin_key(at: str, name: str) -> str:
    """Return the key of the widget of a parameter in which candidates differ."""
    return f"{at}.twin.{name}"


def pixels_key(at: str) -> str:
    """Return the key of the question how it expects its pixels."""
    return f"{at}.pixels"


def _ask_choice(name: str, values: Sequence[Any], at: str) -> Any:
    return st.segmented_control(
        name.replace("_", " ").capitalize(),
        values,
        format_func=lambda value: str(value).replace("_", " "),
        key=twin_key(at, name),
        **KEPT,
    )


def _ask_preset(look: Look, at: str) -> _Network:
    preset = _select(
        "Published network",
        look.presets,
        placeholder="type a part of its name",
        help="Those whose names and shapes the file has. A preset is written from the code that "
        "published the network.",
        key=f"{at}.preset",
    )
    if preset is None:
        return _Network(left=look.candidates)
    known = PRESETS.get(preset)
    st.caption(in_markdown(f"{known.origin}. {known.notes}".strip()))
    wanted = MODELS.get(known.architecture).Parameters.create(known.parameters)
    twins = {name: getattr(wanted, name) for name in choices(look.candidates)}
    return _Network(preset, left=narrowed(look.candidates, twins)[:1])


def _ask_architecture(look: Look, at: str) -> _Network:
    st.info(
        f"{in_markdown(look.fault)}. If you know its architecture, name it.",
        icon=":material/help:",
    )
    names = [
        name
        for name in MODELS.names()
        if not MODELS.get(name).from_file and has_form(MODELS.get(name).Parameters)
    ]
    name = _select(
        "Architecture",
        names,
        placeholder="choose one",
        key=f"{at}.architecture",
    )
    if name is None:
        return _Network()
    model = MODELS.get(name)
    omitted = [one for one in NORMALISATION_FIELDS if one in model.Parameters.model_fields]
    values = parameter_form(
        model.Parameters, f"{at}.parameters.{name}", omit=omitted, advanced=model.advanced
    )
    chosen = {} if values is None else values.model_dump(mode="json", exclude=set(omitted))
    return _Network(None, name, chosen)


def _ask_classes(
    look: Look, network: _Network, at: str
) -> tuple[str | None, tuple[str, ...] | None, tuple[int, int, int] | None]:
    preset = None if network.preset is None else PRESETS.get(network.preset)
    first = look.candidates[0] if look.candidates else None
    told = look.told or Told()
    offered = [name for name in [*list_data(), *own_data()] if _fits(name, first)]
    said = "none: the classes that it names" if told.class_names else "none: I name the classes"
    said = f"{preset.data}, as the preset says" if preset else said
    data = _select(
        "Data set",
        offered,
        format_func=_data_title,
        placeholder=said,
        key=f"{at}.data",
        help="Those with as many classes and channels as the file has.",
    )
    data = data or (preset.data if preset else None)
    text = st.text_area(
        "Names of its outputs in their order" + (" (if it is another than here)" if data else ""),
        key=f"{at}.classes",
        placeholder="one a line, or separated by commas",
        height=80,
        **KEPT,
    )
    names = tuple(part.strip() for part in str(text or "").replace("\n", ",").split(","))
    names = tuple(part for part in names if part) or None
    if told.class_names and names is None:
        st.caption(f"It names {in_markdown(_some(told.class_names))}.")
    if data is not None or told.image_shape is not None:
        return data, names, None
    size = st.text_input(
        "Height and width of its images", key=f"{at}.size", placeholder="32x32", **KEPT
    )
    return None, names, _shape(str(size or ""), first.image_channels if first else 3)


def _some(names: Sequence[str]) -> str:
    """Return some of many class names."""
    shown = ", ".join(names[:SHOWN_NAMES])
    more = len(names) - SHOWN_NAMES
    return f"{len(names)} classes: {shown}" + (f" and {more} more" if more > 0 else "")


def _shape(text: str, channels: int) -> tuple[int, int, int] | None:
    if not text.strip():
        return None
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"height and width should be like 32x32, got {text!r}")
    return channels, int(parts[0]), int(parts[1])


def _fits(name: str, candidate: Candidate | None) -> bool:
    """Return whether a data set may be what a network classifies, by a quick look."""
    source = _source(name)
    if source is None or "test" not in source.splits:
        return False
    if candidate is None or source.known_content is None:
        return True
    shape, names = source.known_content
    return (len(names), shape[0]) == (candidate.num_classes, candidate.image_channels)


def _source(name: str) -> DataSource | None:
    try:
        return data_source(name)
    except InputError:
        return None


def _data_title(name: str) -> str:
    source = _source(name)
    if source is None:
        return name
    away = source.presence()
    return f"{name} · {away}" if away else name


def _ask_scale(
    look: Look, network: _Network, data: str | None, at: str
) -> tuple[Normalisation | None, Normalisation | None]:
    """Return the mean and std that the person states, and those that anybody states."""
    preset = None if network.preset is None else PRESETS.get(network.preset)
    architecture = network.architecture or (preset and preset.architecture)
    fields = MODELS.get(architecture).Parameters.model_fields if architecture else {"mean": None}
    if look.normalisation is not None:
        mean, std = (", ".join(f"{v:.4g}" for v in part) for part in look.normalisation)
        st.caption(f"The file says so: mean {mean}, std {std}.")
        return None, look.normalisation
    if "mean" not in fields:
        st.caption("It has a normalisation of its own.")
        return None, None
    if preset is not None and preset.declares_normalisation:
        stated = preset.parameters
        if stated.get("per_image"):
            st.caption("The preset says so: mean and std of each image.")
            return None, None
        mean, std = (", ".join(f"{v:.4g}" for v in stated[part]) for part in ("mean", "std"))
        st.caption(f"The preset says so: mean {mean}, std {std}.")
        return None, (tuple(stated["mean"]), tuple(stated["std"]))
    scale = ask_pixels(pixels_key(at), data)
    return scale, scale
