"""Options made from parameter models: the same names, limits and help as the forms."""

import argparse
import enum
import json
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from robust_core.command_line import PROGRAM
from robust_core.errors import InputError
from robust_core.parameters import PIXEL_UNIT, Parameters
from robust_core.paths import shipped_folder
from robust_core.registry import did_you_mean, unknown_name

DESTINATION = "parameter "  # no option of a command's own can be called that


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def __init__(self, *, command: str = "", **settings: Any) -> None:
        """Take the name of a command, if it is one's parser, and argparse's settings.

        Abbreviated options are not accepted.
        """
        if command:
            settings["prog"] = f"{PROGRAM} {command}"
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise what was wrong; `main` prints it."""
        raise InputError(message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the options; an unknown one is answered with the likely one."""
        options, rest = self.parse_known_args(args, namespace)
        for text in rest:
            if text.startswith("--"):
                name = text.partition("=")[0]
                hint = did_you_mean(name, self._known_options(options))
                raise InputError(f"unknown option {name!r}{hint}")
        if rest:
            self.error(f"unexpected {' '.join(rest)}")
        return options

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = str(action.metavar or action.dest).lower()
            raise unknown_name(kind, str(value), [str(choice) for choice in action.choices])

    def _known_options(self, options: argparse.Namespace) -> list[str]:
        """Return the long options of this parser, and of the chosen one of its sub-parsers."""
        known = [name for name in self._option_string_actions if name.startswith("--")]
        for action in self._actions:
            chosen = getattr(options, action.dest, None)
            if isinstance(action, argparse._SubParsersAction) and chosen in action.choices:
                known += action.choices[chosen]._known_options(options)
        return known


def add_parameters(parser: argparse.ArgumentParser, parameters: type[Parameters]) -> None:
    """Add an option for every field of `parameters`."""
    group = parser.add_argument_group("parameters")
    for name, field in parameters.model_fields.items():
        option = f"--{name.replace('_', '-')}"
        destination = f"{DESTINATION}{name}"
        text = help_text(field).replace("%", "%%")
        if field.annotation is bool:
            group.add_argument(
                option,
                dest=destination,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=text,
            )
            continue
        names = [str(choice) for choice in choices(field.annotation)]
        group.add_argument(
            option,
            dest=destination,
            default=argparse.SUPPRESS,
            metavar=f"{{{','.join(names)}}}" if names else name.upper(),
            help=text,
        )


def given_parameters(namespace: argparse.Namespace, parameters: type[Parameters]) -> dict[str, Any]:
    """Return the parameters that were given, ready for `parameters.create`.

    Raises:
        InputError: no value where one is needed; a list that is no JSON.
    """
    values: dict[str, Any] = {}
    for name, field in parameters.model_fields.items():
        given = vars(namespace).get(f"{DESTINATION}{name}")
        if given is None:
            continue
        if any(get_origin(member) in (tuple, list) for member in _members(field.annotation)):
            values[name] = _parse_list(name, field, given)
            continue
        values[name] = parse_value(given) if isinstance(given, str) else given
        if values[name] is None and type(None) not in _members(field.annotation):
            raise InputError(f"{name} needs a value, got {given!r}")
    return values


def _parse_list(name: str, field: FieldInfo, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{name} should be JSON such as {_default(field)}, got {text!r}") from None


def parse_value(text: str) -> Any:
    """Return the value of an option: "8/255" as a quotient, "none" and "auto" as None.

    Everything else stays text; the parameter model makes a number of it.

    Raises:
        InputError: a quotient by zero.
    """
    if text.lower() in ("none", "auto"):
        return None
    above, slash, below = text.partition("/")
    if not slash:
        return text
    try:
        return float(above) / float(below)
    except ZeroDivisionError:
        raise InputError(f"{text!r} divides by zero") from None
    except ValueError:
        return text


def positive(text: str) -> int:
    """Return a whole number from 1, for an option of a command itself."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number from 1, got {text!r}")
    return int(text)


def up_to(most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from 1 to `most`, for an option of a command itself."""

    def parse(text: str) -> int:
        number = positive(text)
        if number > most:
            raise argparse.ArgumentTypeError(f"should be at most {most:,}, got {number:,}")
        return number

    return parse


def configuration(text: str) -> Path:
    """Return a configuration file, named by its path or as a shipped recipe."""
    path = Path(text)
    recipe = shipped_folder() / "recipes" / f"{text}.json"
    return recipe if path.name == text and not path.exists() and recipe.is_file() else path


def help_text(field: FieldInfo) -> str:
    """Return description, limits and default of a field in one line."""
    limits = [
        f"{sign} {getattr(constraint, attribute):g}"
        for constraint in field.metadata
        for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        if hasattr(constraint, attribute)
    ]
    notes = [*limits, f"default {_default(field)}"]
    return f"{field.description or ''} ({', '.join(notes)})".strip()


def apply_settings(values: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """Return a configuration with `settings` such as "method.beta=3" or "epochs=5" applied.

    What is not a field of a choice is one of its parameters: "method.beta" is short for
    "method.parameters.beta". A new name drops the old one's parameters. Lists and objects are
    written as JSON: "schedule.milestones=[10, 15]".

    Raises:
        InputError: a setting without "=", a path through something that has no fields, broken
            JSON, or a norm without an epsilon.
    """
    changed = dict(values)
    paths = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise InputError(f"--set expects NAME=VALUE such as method.beta=3, got {setting!r}")
        changed = _with(changed, path.split("."), _parse_setting(path, text), path)
        paths.append(path)
    for path in paths:
        owner, dot, name = path.rpartition(".")
        radius = f"{owner}{dot}epsilon"
        if name == "norm" and radius not in paths:
            raise InputError(f"--set {path} needs --set {radius}: epsilon depends on the norm")
    return changed


def _parse_setting(path: str, text: str) -> Any:
    if not text.startswith(("[", "{")):
        return parse_value(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"--set {path} should be JSON such as [1, 2], got {text!r}") from None


def _with(node: Any, path: list[str], value: Any, whole: str) -> dict[str, Any]:
    if node is not None and not isinstance(node, Mapping):
        raise InputError(f"--set {whole}: {path[0]!r} is no field of a single value")
    changed = dict(node or {})
    key, *rest = path
    if "parameters" in changed and key not in changed:
        path, (key, *rest) = ["parameters", *path], ("parameters", *path)
    if key == "name" and "parameters" in changed:
        changed["parameters"] = {}
    changed[key] = _with(changed.get(key), rest, value, whole) if rest else value
    return changed


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, float) and field.json_schema_extra == PIXEL_UNIT:
        return f"{value * 255:.4g}/255"
    if isinstance(value, tuple | list):
        return to_json(value).decode()
    return f"{value:g}" if isinstance(value, float) else str(value)


def choices(annotation: Any) -> Iterator[Any]:
    """Yield what a field of a few values can be."""
    for member in _members(annotation):
        if get_origin(member) is Literal:
            yield from get_args(member)
        elif isinstance(member, type) and issubclass(member, enum.Enum):
            yield from member


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the one type."""
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)
