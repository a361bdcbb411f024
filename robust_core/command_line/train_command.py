"""`python -m robust_core train`."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.command_line.main import WRONG_INPUT
from robust_core.command_line.options import Parser, apply_settings, configuration
from robust_core.command_line.work import Work, add_work_options, time_left, watched
from robust_core.config.presets import NO_OPTION, preset
from robust_core.config.run import RunConfig
from robust_core.distributed import ProcessGroup, process_group
from robust_core.errors import InputError
from robust_core.files import write_atomically
from robust_core.training.directory import RunDirectory, RunStatus
from robust_core.training.trainer import train
from robust_core.units import percent

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
WORK = Work(
    RunDirectory,
    plan="a configuration",
    missing="train needs a configuration file, --data and --method, --run or --resume",
    describing=("config", "data", "method", "model", "option", "budget", "set"),
)


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Train and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.export is not None:
        _check_export(options.export)
    with process_group() as group:
        directory, config = group.agree(lambda: _directory_and_config(options, group))
        try:
            with watched(options, group, BAR, _draw) as on_progress:
                train(
                    config,
                    directory,
                    group=group,
                    should_stop=terminated,
                    on_progress=on_progress,
                    threads=options.threads,
                )
        except InputError:
            if not options.quiet:
                raise
            return WRONG_INPUT  # the run's log has the sentence
        if not group.is_main:
            return 0
    status = directory.status()
    sys.stdout.write(_ending(directory, status))
    if options.export is not None and status.state == "finished":
        _export(directory, options.export)
    return 0


def _parser() -> Parser:
    parser = Parser(
        command="train",
        description="Train a model. Ctrl-C or SIGTERM stops the run; --resume continues after the "
        "last complete epoch, with the same result as an uninterrupted run. Under torchrun, every "
        "batch is split over the processes.",
    )
    parser.add_argument(
        "config",
        nargs="?",
        type=configuration,
        help="configuration (JSON), or the name of a shipped model to use its recipe",
    )
    parser.add_argument("--data", help="data set: use a preset instead of a configuration file")
    parser.add_argument("--method", help="training method of the preset")
    parser.add_argument("--model", help="network (default: that of the preset)")
    parser.add_argument("--budget", help="quick or paper (default quick)")
    parser.add_argument(
        "--option",
        help="option added to a baseline preset: he (hypersphere embedding), or awp (adversarial "
        "weight perturbation; pgd_at and trades only)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="override one value, e.g. epochs=5, method.beta=3, optimiser.learning_rate=0.05",
    )
    add_work_options(parser, kind="run")
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help="copy the finished checkpoint to this file"
    )
    return parser


def _directory_and_config(
    options: Namespace, group: ProcessGroup
) -> tuple[RunDirectory, RunConfig | None]:
    """Return the run, and what to do where other processes may not reach its directory."""
    directory = WORK.directory(options, lambda: _config(options))
    return directory, directory.config() if group.size > 1 else None


def _config(options: Namespace) -> RunConfig | None:
    chosen = (options.data, options.method)
    changes = (options.model, options.option, options.budget)
    if options.config is not None:
        if any(chosen) or any(changes):
            raise InputError(
                "train takes a configuration file or --data, --method, --model, --option and "
                "--budget, not both; --set changes values of a file"
            )
        config = RunConfig.from_json(options.config)
    elif all(chosen):
        config = preset(
            options.data, options.method, options.budget or "quick", options.option or NO_OPTION
        )
    elif any(chosen) or any(changes):
        raise InputError("train needs both --data and --method")
    else:
        return None
    values = config.model_dump(mode="json")
    if options.model is not None:
        values["model"] = {"name": options.model, "parameters": {}}
    return RunConfig.create(apply_settings(values, options.set))


def _draw(bar: tqdm, status: RunStatus) -> None:
    bar.total = status.num_steps or None
    bar.n = status.step
    bar.set_description_str(status.phase or status.state, refresh=False)
    epoch = f"epoch {status.epoch}/{status.num_epochs}"
    bar.set_postfix_str(", ".join(filter(None, (epoch, time_left(status)))), refresh=False)


def _ending(directory: RunDirectory, status: RunStatus) -> str:
    lines = [f"run {directory.run_id} {status.state} after epoch {status.epoch}"]
    if status.note:
        lines.append(status.note)
    if status.state == "finished":
        card = checkpoint_info(directory.best).card
        robust = card.robust[0]
        lines.append(
            f"best epoch {card.epoch} on {card.num_images} {card.split} images: clean "
            f"{percent(card.clean_accuracy, 1)}, under {robust.attack.name.upper()} "
            f"{percent(robust.accuracy, 1)}"
        )
        lines.append(str(directory.best))
    return "\n".join(lines) + "\n"


def _check_export(path: Path) -> None:
    """Make the folder now: after hours of training it would be late to hear that it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: its folder is read-only")


def _export(directory: RunDirectory, path: Path) -> None:
    try:
        write_atomically(path, directory.best.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
