"""`python -m robust_core import`."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.command_line.options import Parser, apply_settings, parse_value
from robust_core.config.imported import ImportConfig
from robust_core.errors import InputError
from robust_core.evaluation.finding import Severity
from robust_core.evaluation.lowest import share_words
from robust_core.importing.importer import import_model
from robust_core.importing.own_code import (
    PROGRAM,
    Stated,
    network_of_factory,
    network_of_program,
)
from robust_core.importing.presets import PRESETS
from robust_core.models.wrapping import WrappedModel


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Import a model and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.list:
        sys.stdout.write("".join(f"{line}\n" for line in _presets()))
        return 0
    info = _imported(options)
    sys.stdout.write("".join(f"{line}\n" for line in _report(info)))
    return 0


def _imported(options: argparse.Namespace) -> CheckpointInfo:
    """Bring in what the options name.

    Raises:
        InputError: nothing is named, it is code that nobody trusts, or it cannot be imported.
    """
    said: dict[str, Any] = {
        "data": options.data,
        "class_names": options.classes,
        "image_shape": options.image_shape,
    }
    scale = {"mean": options.mean, "std": options.std}
    more = {"name": options.name, "claim": options.claim}
    code = _code(options, Stated(**said, **scale))
    if code is None:
        return import_model(
            options.file,
            preset=options.preset,
            architecture=options.architecture,
            parameters=apply_settings({}, options.set),
            key=options.key,
            **said,
            **scale,
            **more,
        )
    return import_model(code, **said, **more)


def _code(options: argparse.Namespace, stated: Stated) -> WrappedModel | None:
    """Return the network of code that may run; None: it is a file, in which nothing is run."""
    file: Path | None = options.file
    if file is None and options.factory is None:
        raise InputError("import needs a file or a folder, --factory, or --list")
    if options.factory is None and not options.trust_code:
        return None
    parameters = apply_settings({}, options.set)
    stated = replace(stated, input_size=parameters.pop("input_size", None))
    if parameters or options.preset or options.architecture:
        raise InputError(
            "code says its network itself: leave out preset, architecture and all parameters but "
            "input_size"
        )
    if options.factory is not None:
        if not options.trust_code:
            raise InputError(f"{options.factory} is code, which will run: say so with --trust-code")
        return network_of_factory(options.factory, stated, file, options.key)
    if file is None or file.suffix.lower() != PROGRAM:
        raise InputError(f"--trust-code is for --factory and {PROGRAM} files, got {file}")
    return network_of_program(file, stated)


def _report(info: CheckpointInfo) -> list[str]:
    """Return what was imported, how, and what the checks on arrival say."""
    lines = [f"{info.name}: {info.config.model.name}, {info.num_classes} classes"]
    if not isinstance(info.config, ImportConfig):
        return lines
    origin = info.config.origin
    lines.append(info.config.words)
    if origin.clean is not None:
        share = share_words(origin.clean.accuracy, origin.clean.interval)
        lines.append(f"clean accuracy {share} on {origin.clean.num_images:,} images")
    for one in origin.findings:
        word = "ok" if one.severity is Severity.OK else "WARNING"
        lines.append(f"{word}: {one.sentence} {one.advice}".rstrip())
    if origin.surplus:
        lines.append(f"left out: {len(origin.surplus)} tensors, first {origin.surplus[0]}")
    return [*lines, *origin.notes]


def _presets() -> list[str]:
    """Return a line for every published network that has a preset."""
    lines = []
    for name in PRESETS.names():
        preset = PRESETS.get(name)
        switches = ", ".join(f"{key} {value}" for key, value in preset.parameters.items())
        notes = f" {preset.notes}" if preset.notes else ""
        lines.append(
            f"{name}: {preset.origin}; {preset.data}, {preset.architecture}, {switches}{notes}"
        )
    return lines


def _parser() -> Parser:
    parser = Parser(
        command="import",
        description="Bring in a model from elsewhere: a file of weights (.safetensors, or written "
        "by torch.save), an .onnx file, or a folder of Hugging Face. Nothing in it is run. What it "
        "does not tell must be said: by a preset, or by architecture, normalisation and data set. "
        "Your own code comes with --factory and --trust-code.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="file of weights, .onnx file, or folder with config.json and model.safetensors",
    )
    parser.add_argument("--list", action="store_true", help="list the presets and end")
    parser.add_argument("--preset", metavar="NAME", help="published network that the file is of")
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="architecture: see list models; or torchvision:NAME, timm:NAME",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of the architecture, such as activation=silu; may be repeated",
    )
    parser.add_argument(
        "--mean",
        nargs="+",
        type=_number,
        metavar="M",
        help="mean of the pixels in [0, 1] that the network subtracts, of all channels or of each; "
        "0 for a network that takes [0, 1] as it is",
    )
    parser.add_argument(
        "--std", nargs="+", type=_number, metavar="S", help="what it divides by; 1 likewise"
    )
    parser.add_argument("--data", metavar="NAME", help="data set that it classifies")
    parser.add_argument(
        "--classes",
        type=_lines,
        metavar="FILE",
        help="text file with the meaning of its outputs in their order, one a line",
    )
    parser.add_argument(
        "--image-shape",
        type=_shape,
        metavar="CxHxW",
        help="channels, height and width of its images, such as 3x32x32; needed without --data",
    )
    parser.add_argument(
        "--factory",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="function of your own code, without arguments, that returns the network; the file, if "
        "any, holds weights for it",
    )
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help=f"run the factory, or the exported program ({PROGRAM}): only code that you know",
    )
    parser.add_argument("--key", help="which set of weights, where the file holds several")
    parser.add_argument("--name", help="what to call it (default: name of the file)")
    parser.add_argument(
        "--claim", type=_number, metavar="SHARE", help="clean accuracy that it is said to have"
    )
    return parser


def _number(text: str) -> float:
    try:
        return float(parse_value(text))  # a quotient such as 125.3/255, too
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"should be a number, got {text!r}") from None


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"should be like 3x32x32, got {text!r}")
    channels, height, width = map(int, parts)
    return channels, height, width


def _lines(text: str) -> list[str]:
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise argparse.ArgumentTypeError(f"should be a text file, got {text!r}") from None
    return [line.strip() for line in lines if line.strip()]
