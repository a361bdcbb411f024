"""Frozen, validated parameters: the one declaration behind forms, command line, JSON and caches.

Every field carries its type, range and help. A field whose value is a distance in pixel units says
so with `json_schema_extra=PIXEL_UNIT`; forms and the command line then speak of n/255.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from robust_core.aliases import renamed_parameters
from robust_core.errors import InputError
from robust_core.registry import unknown_name

PIXEL_UNIT: dict[str, Any] = {
    "unit": "1/255"
}  # pixels are in [0, 1]; people think in steps of 1/255


@dataclass(frozen=True)
class OneOf:
    """Says of a text field that it is one of the names of a library, which are many.

    Forms offer the names; anything else is refused with the likely meaning. Where the library is
    not installed nothing can be said, so any name passes until it is used.

    Attributes:
        kind: what the names are of, for sentences.
        names: returns them, sorted; empty where the library is not installed.
    """

    kind: str
    names: Callable[[], tuple[str, ...]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the field's schema with the check behind it."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, name: str) -> str:
        known = self.names()
        if known and name not in known:
            raise unknown_name(self.kind, name, list(known))
        return name


class Parameters(BaseModel):
    """Base of all parameter models: frozen, hashable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values(cls, values: Any) -> Any:
        """Refuse a truth value where a number belongs; pydantic would read true as 1."""
        values = renamed_parameters(values)
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(name)
            if field is not None and _has_bool(value) and _is_number(field.annotation):
                raise ValueError(f"{name} should be a number, got {str(value).lower()}")
        return values

    @classmethod
    def create(cls, values: Mapping[str, Any]) -> Self:
        """Validate `values`; raise `InputError` with one sentence that names field and limits."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise InputError(validation_sentence(error, list(cls.model_fields))) from None


def _has_bool(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(part, bool) for part in parts)


def _is_number(annotation: Any) -> bool:
    """Return whether a type is of numbers, perhaps several or none, and not of truth values."""
    parts = _parts(annotation)
    return bool(parts & {int, float}) and bool not in parts


def _parts(annotation: Any) -> set[Any]:
    return {annotation}.union(*map(_parts, get_args(annotation)))


def validation_sentence(error: ValidationError, known: list[str]) -> str:
    """Turn pydantic's report into one sentence for a person; `known` are the valid field names."""
    return "; ".join(_describe(detail, known) for detail in error.errors()[:3])


def _describe(detail: ErrorDetails, known: list[str]) -> str:
    name = ".".join(str(part) for part in detail["loc"]) or "value"
    got = detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            if len(detail["loc"]) == 1:
                return str(unknown_name("parameter", name, known))
            return f"unknown parameter {name!r}"
        case "missing":
            return f"{name} is missing"
        case "value_error":
            return str(context["error"])
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
            sign = {"greater_than_equal": ">=", "less_than_equal": "<=", "greater_than": ">"}
            bound = next(context[key] for key in ("ge", "le", "gt", "lt") if key in context)
            return f"{name} must be {sign.get(detail['type'], '<')} {bound}, got {got!r}"
        case "literal_error" | "enum":
            return f"{name} must be one of {context['expected']}, got {got!r}"
        case _:
            expected = detail["msg"].removeprefix("Input should be ")
            return f"{name} should be {expected}, got {got!r}"
