"""The form builder: a parameter model is drawn as widgets, which are read back into a model."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
import streamlit as st
from pydantic.fields import FieldInfo

from app.ui.kept import kept, slider
from app.ui.plain import in_markdown
from app.ui.units import capitalised
from robust_core.errors import InputError
from robust_core.parameters import PIXEL_UNIT, OneOf, Parameters
from robust_core.threat_model import LARGEST_EPSILON, Norm

P = TypeVar("P", bound=Parameters)

L2_PER_LINF = 0.5 / (8 / 255)  # ratio of the two usual epsilons for CIFAR-10
SLIDER_END = {Norm.LINF: 96.0, Norm.L2: 5.0}  # n/255 and pixel units; longer if the value is
SLIDER_STEP = {Norm.LINF: 0.5, Norm.L2: 0.05}
LARGEST_NUMBER = float(2**53 - 1)  # the largest integer that is exact in JavaScript
MOST_SEGMENTS = 3


@dataclass(frozen=True)
class FieldSpec:
    """The description of one field of a parameter model for its widget.

    kind: "bool", "int", "float", "str", "choice", "name" (one of a library's, which are many) or
    "numbers" (a tuple of floats). optional: None is allowed and means automatic. pixel: a distance
    in pixel units. lowest, highest: bounds or None. choices: the values of a choice or a name.
    """

    name: str
    label: str
    kind: str
    help: str
    default: Any
    optional: bool = False
    pixel: bool = False
    lowest: float | None = None
    highest: float | None = None
    choices: tuple[Any, ...] = ()


def field_spec(model: type[Parameters], name: str) -> FieldSpec:
    """Return the description of field `name` of `model`.

    Raises:
        TypeError: the field's type has no widget; leave it out with `omit`.
    """
    field = model.model_fields[name]
    annotation, metadata, optional = _unwrap(field.annotation, list(field.metadata))
    choices: tuple[Any, ...] = ()
    named = next((item.names() for item in _flat(metadata) if isinstance(item, OneOf)), ())
    if get_origin(annotation) is Literal:
        kind, choices = "choice", get_args(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        kind, choices = "choice", tuple(annotation)
    elif named:
        kind, choices = "name", named
    elif annotation in (bool, int, float, str):
        kind = annotation.__name__
    elif get_origin(annotation) is tuple and _unwrap(get_args(annotation)[0], [])[0] is float:
        kind = "numbers"
    else:
        raise TypeError(f"no widget for {model.__name__}.{name} of type {annotation}")
    lowest, highest = _limits(metadata)
    return FieldSpec(
        name=name,
        label=name.replace("num_", "number of ").replace("_", " ").capitalize(),
        kind=kind,
        help=_first(metadata, "description") or field.description or "",
        default=None if field.is_required() else field.get_default(call_default_factory=True),
        optional=optional,
        pixel=PIXEL_UNIT in (field.json_schema_extra, _first(metadata, "json_schema_extra")),
        lowest=lowest,
        highest=highest,
        choices=choices,
    )


def has_form(model: type[Parameters]) -> bool:
    """Return whether every field of `model` has a widget."""
    try:
        for name in model.model_fields:
            field_spec(model, name)
    except TypeError:
        return False
    return True


def parameter_form(
    model: type[P],
    key: str,
    *,
    initial: Mapping[str, Any] | None = None,
    omit: Collection[str] = (),
    advanced: Collection[str] = (),
    sliders: Mapping[str, float] | None = None,
    suggestions: Mapping[str, Any] | None = None,
) -> P | None:
    """Draw the widgets of `model` and return its values; None, with an error message, if invalid.

    Values are kept when the page changes. Pixel-unit fields are shown in n/255 if the model's
    `norm` is Linf and in pixel units otherwise; each norm keeps its own value.

    Args:
        model: the parameter model.
        key: prefix of the widgets' keys; forms with different prefixes keep different values.
        initial: initial values, instead of the defaults of the model.
        omit: fields without a widget; they keep their value in `initial` or their default.
        advanced: fields in a closed expander below the others.
        sliders: number fields shown as a slider, with its upper end.
        suggestions: initial values of automatic fields when they are set by hand.
    """
    initial = dict(initial or {})
    values = {name: value for name, value in initial.items() if name in omit}
    specs = [field_spec(model, name) for name in model.model_fields if name not in omit]
    defaults = {spec.name: spec.default for spec in specs}
    build = _Builder(key, initial, defaults, values, sliders or {}, suggestions or {})
    for spec in specs:
        if spec.name not in advanced:
            values[spec.name] = build.widget(spec)
    hidden = [spec for spec in specs if spec.name in advanced]
    if hidden:
        with st.expander("More settings", icon=":material/tune:"):
            for spec in hidden:
                values[spec.name] = build.widget(spec)
    try:
        return model.create(values)
    except InputError as error:
        show_input_error(error)
        return None


def fill_form(model: type[Parameters], key: str, values: Mapping[str, Any]) -> None:
    """Set the widgets of the form with prefix `key` to validated `values`.

    Fields that are not in `values` are reset to `initial`.
    """
    norm = _norm_of(values)
    for name in model.model_fields:
        for widget_key in _widget_keys(key, name):
            st.session_state.pop(widget_key, None)
        if name not in values:
            continue
        try:
            spec = field_spec(model, name)
        except TypeError:
            continue
        value = values[name]
        if spec.optional:
            st.session_state[_automatic_key(key, name)] = value is None
        if value is not None:
            unit = norm if spec.pixel else None
            st.session_state[_value_key(key, name, unit)] = _shown(spec, value, unit)


def show_input_error(error: InputError) -> None:
    """Show invalid input as one sentence: the only way in which a page shows an `InputError`."""
    text = capitalised(str(error))
    end = "" if text.endswith((".", "?", "!")) else "."
    st.error(in_markdown(text + end), icon=":material/error:")


@dataclass(frozen=True)
class _Builder:
    """Draws the widgets in the order of the fields; `values` holds those drawn so far."""

    key: str
    initial: Mapping[str, Any]
    defaults: Mapping[str, Any]
    values: Mapping[str, Any]
    sliders: Mapping[str, float]
    suggestions: Mapping[str, Any]

    def widget(self, spec: FieldSpec) -> Any:
        """Draw the widget of a field and return the field's value."""
        unit = _norm_of(self.values) if spec.pixel else None
        start = self.initial.get(spec.name, spec.default)
        if spec.optional:
            automatic = _automatic_key(self.key, spec.name)
            st.session_state.setdefault(automatic, start is None)
            label = f"{spec.label}: {'automatic' if 'automatic' in spec.help else 'none'}"
            if st.checkbox(label, help=spec.help, **kept(automatic)):
                return None
        widget_key = _value_key(self.key, spec.name, unit)
        if widget_key not in st.session_state:
            st.session_state[widget_key] = _shown(spec, self._first_value(spec, start, unit), unit)
        if spec.kind in ("int", "float"):
            return _number(spec, widget_key, unit, self.sliders.get(spec.name))
        return _other(spec, widget_key)

    def _first_value(self, spec: FieldSpec, start: Any, unit: Norm | None) -> Any:
        if start is None:
            return self.suggestions.get(spec.name, _fallback(spec, unit))
        own = self.initial if spec.name in self.initial else self.defaults
        if unit is Norm.L2 and _norm_of(own) is Norm.LINF:
            return round(start * L2_PER_LINF / SLIDER_STEP[unit]) * SLIDER_STEP[unit]
        return start


def _number(spec: FieldSpec, key: str, unit: Norm | None, end: float | None) -> int | float:
    """Draw a slider or a number field and return its value in the unit of the parameter."""
    number = int if spec.kind == "int" else float
    scale = 255.0 if unit is Norm.LINF else 1.0
    lowest = -LARGEST_NUMBER if spec.lowest is None else spec.lowest * scale
    highest = LARGEST_NUMBER if spec.highest is None else spec.highest * scale
    if unit is not None:
        highest = min(highest, LARGEST_EPSILON[unit] * scale)
        end = SLIDER_END[unit] if not spec.optional else None
    step = 1 if number is int else SLIDER_STEP[unit] if unit else _float_step(spec)
    label = f"{spec.label} (n/255)" if unit is Norm.LINF else spec.label
    common = kept(key)
    common["help"] = None if spec.optional else spec.help
    shown: Any
    if end is not None:
        highest = max(min(end, highest), float(st.session_state[key]))
        shown = slider(
            label,
            number(lowest),
            number(highest),
            step=step,
            format="%g/255" if unit is Norm.LINF else "%g" if number is float else "%d",
            key=key,
            help=common["help"],
        )
    else:
        layout = "%d" if number is int else "%.6g" if unit is None else "%g"
        shown = st.number_input(
            label, number(lowest), number(highest), step=step, format=layout, **common
        )
    return shown / scale if unit is Norm.LINF else shown


def _other(spec: FieldSpec, key: str) -> Any:
    common = kept(key)
    common["help"] = None if spec.optional else spec.help
    match spec.kind:
        case "bool":
            return st.checkbox(spec.label, **common)
        case "choice" if len(spec.choices) <= MOST_SEGMENTS:
            return st.segmented_control(
                spec.label, spec.choices, format_func=_choice_label, required=True, **common
            )
        case "choice":
            return st.selectbox(spec.label, spec.choices, format_func=_choice_label, **common)
        case "name":
            return st.selectbox(spec.label, spec.choices, **common)
        case "numbers":
            text = str(st.text_input(f"{spec.label}, separated by commas", **common))
            return tuple(part.strip() for part in text.split(",") if part.strip())
        case _:
            return st.text_input(spec.label, **common)


def _unwrap(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any], bool]:
    """Return a type without Annotated and `| None`, its metadata, and whether None is allowed."""
    optional = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            metadata += annotation.__metadata__
            annotation = annotation.__origin__
        elif origin in (Union, UnionType) and NoneType in get_args(annotation):
            optional = True
            rest = tuple(part for part in get_args(annotation) if part is not NoneType)
            annotation = Union[rest]  # noqa: UP007 - built at run time
        else:
            return annotation, metadata, optional


def _limits(metadata: list[Any]) -> tuple[float | None, float | None]:
    lowest, highest = None, None
    for item in _flat(metadata):
        match item:
            case annotated_types.Ge(ge=bound) | annotated_types.Gt(gt=bound):
                lowest = bound
            case annotated_types.Le(le=bound) | annotated_types.Lt(lt=bound):
                highest = bound
    return lowest, highest  # pyright: ignore[reportReturnType]


def _flat(metadata: list[Any]) -> list[Any]:
    flat = []
    for item in metadata:
        flat += _flat(item.metadata) if isinstance(item, FieldInfo) else [item]
    return flat


def _first(metadata: list[Any], attribute: str) -> Any:
    fields = [item for item in metadata if isinstance(item, FieldInfo)]
    return next((getattr(item, attribute) for item in fields if getattr(item, attribute)), None)


def _norm_of(values: Mapping[str, Any]) -> Norm:
    return Norm(values.get("norm") or Norm.LINF)


def _shown(spec: FieldSpec, value: Any, unit: Norm | None) -> Any:
    """Return the value of a parameter in the unit of its widget."""
    match spec.kind:
        case "float":
            return round(float(value) * 255.0, 9) if unit is Norm.LINF else float(value)
        case "numbers":
            return ", ".join(f"{number:g}" for number in value)
        case "choice":
            return next((choice for choice in spec.choices if choice == value), spec.default)
        case _:
            return value


def _fallback(spec: FieldSpec, unit: Norm | None) -> Any:
    """Return the initial value of a field whose default is automatic."""
    if unit is not None:
        return 2 / 255 if unit is Norm.LINF else 0.1
    empty = {"bool": False, "str": "", "numbers": (), "choice": (spec.choices or (None,))[0]}
    if spec.kind in empty:
        return empty[spec.kind]
    top = LARGEST_NUMBER if spec.highest is None else spec.highest
    return max(spec.lowest or 0, min(1, top) if spec.kind == "int" else 0.9 * min(1.0, top))


def _float_step(spec: FieldSpec) -> float:
    """Return the power of ten of the default's leading digit: 0.0001 for 0.0005."""
    return 10.0 ** math.floor(math.log10(abs(spec.default))) if spec.default else 0.01


def _choice_label(choice: Any) -> str:
    text = str(choice)
    return text.replace("_", " ")


def _automatic_key(key: str, name: str) -> str:
    return f"{key}.{name}.automatic"


def _value_key(key: str, name: str, unit: Norm | None) -> str:
    return f"{key}.{name}" if unit is None else f"{key}.{name}.{unit}"


def _widget_keys(key: str, name: str) -> list[str]:
    return [_automatic_key(key, name), *(_value_key(key, name, unit) for unit in (None, *Norm))]
