"""`python -m robust_core list`."""

import inspect
import sys
from collections.abc import Callable

from pydantic.fields import FieldInfo

from robust_core import jobs
from robust_core.attacks.base import ATTACKS
from robust_core.checkpoints.catalog import CheckpointInfo, list_infos
from robust_core.checkpoints.info import STATED
from robust_core.checkpoints.table import markdown_table
from robust_core.command_line.options import Parser, choices, help_text
from robust_core.config.imported import ImportConfig
from robust_core.data import data_source, list_data, own_data
from robust_core.errors import InputError
from robust_core.evaluation_runs.directory import EvaluationDirectory
from robust_core.methods.base import METHODS
from robust_core.models.base import MODELS
from robust_core.parameters import Parameters
from robust_core.training.directory import RunDirectory
from robust_core.units import percent


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """List what there is and return the exit code."""
    parser = Parser(
        command="list", description="List attacks, methods, models, data sets and checkpoints."
    )
    parser.add_argument("kind", nargs="?", choices=list(KINDS), help="default: everything")
    parser.add_argument(
        "--markdown", action="store_true", help="print the shipped checkpoints as a Markdown table"
    )
    parser.add_argument(
        "name", nargs="?", help="show the parameters of one attack, method, model or data set"
    )
    options = parser.parse_args(arguments)
    if options.markdown:
        if options.kind != "checkpoints" or options.name is not None:
            parser.error("--markdown goes with list checkpoints")
        sys.stdout.write(markdown_table())
        return 0
    if options.name is not None:
        sys.stdout.write(_described(options.kind, options.name))
        return 0
    for kind in [options.kind] if options.kind else KINDS:
        rows = KINDS[kind]()
        width = max((len(name) for name, _ in rows), default=0)
        lines = [f"  {name:<{width}}  {text}".rstrip() for name, text in rows] or ["  none"]
        sys.stdout.write("\n".join([f"{kind}:", *lines]) + "\n")
    return 0


def _described(kind: str, name: str) -> str:
    """Return what an entry is and its parameters, with limits and defaults.

    Raises:
        InputError: no such entry, or one of a kind that has no parameters to list.
    """
    if kind not in PARAMETERS:
        raise InputError(
            f"list {kind} takes no name: parameters are those of {', '.join(PARAMETERS)}"
        )
    about, parameters = PARAMETERS[kind](name)
    fields = parameters.model_fields
    width = max(map(len, fields), default=0)
    lines = [
        f"  {field:<{width}}  {help_text(info)}{_choices_words(info)}"
        for field, info in fields.items()
    ]
    return "\n".join([about, "", "parameters:", *(lines or ["  none"])]) + "\n"


def _choices_words(field: FieldInfo) -> str:
    names = [str(choice) for choice in choices(field.annotation)]
    return f" one of {', '.join(names)}" if names else ""


def _method(name: str) -> tuple[str, type[Parameters]]:
    method = METHODS.get(name)
    return inspect.getdoc(method) or "", method.Parameters


def _attack(name: str) -> tuple[str, type[Parameters]]:
    attack = ATTACKS.get(name)
    return inspect.getdoc(attack) or "", attack


def _model(name: str) -> tuple[str, type[Parameters]]:
    model = MODELS.get(name)
    return inspect.getdoc(model) or "", model.Parameters


def _data_set(name: str) -> tuple[str, type[Parameters]]:
    source = data_source(name)
    return source.title, source.Parameters


def _attacks() -> list[tuple[str, str]]:
    return [(name, _first_line(ATTACKS.get(name))) for name in ATTACKS.names()]


def _methods() -> list[tuple[str, str]]:
    return [(name, _first_line(METHODS.get(name))) for name in METHODS.names()]


def _models() -> list[tuple[str, str]]:
    return [(name, _first_line(MODELS.get(name))) for name in MODELS.names()]


def _data() -> list[tuple[str, str]]:
    sources = {name: data_source(name) for name in list_data() + own_data()}
    return [
        (name, ", ".join(filter(None, (source.title, source.presence()))))
        for name, source in sources.items()
    ]


def _checkpoints() -> list[tuple[str, str]]:
    rows = []
    for info in list_infos():
        card, mark = info.measured, f"{STATED}; " if info.imported else ""
        words = (
            card
            and f"{mark}{card.split}: clean {percent(card.clean_accuracy, 1)}; {card.headline()}"
        )
        rows.append(
            (info.name, words or f"{_opened(info)} No robust accuracy has been measured yet.")
        )
    return rows


def _opened(info: CheckpointInfo) -> str:
    return info.config.words if isinstance(info.config, ImportConfig) else ""


def _runs() -> list[tuple[str, str]]:
    return [
        (run.run_id, f"{run.status.words}, epoch {run.status.epoch} of {run.status.num_epochs}")
        for run in jobs.summaries(RunDirectory)
    ]


def _evaluations() -> list[tuple[str, str]]:
    return [
        (
            run.run_id,
            f"{run.status.words}, {', '.join(run.attacks) or 'no attack'} on "
            f"{', '.join(run.checkpoints)}",
        )
        for run in jobs.summaries(EvaluationDirectory)
    ]


def _first_line(entry: type) -> str:
    return (entry.__doc__ or "").splitlines()[0]


PARAMETERS: dict[str, Callable[[str], tuple[str, type[Parameters]]]] = {
    "attacks": _attack,
    "methods": _method,
    "models": _model,
    "data": _data_set,
}

KINDS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "attacks": _attacks,
    "methods": _methods,
    "models": _models,
    "data": _data,
    "checkpoints": _checkpoints,
    "runs": _runs,
    "evaluations": _evaluations,
}
