"""`python -m robust_core train`."""

import logging
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from robust_core.command_line.main import WRONG_INPUT
from robust_core.command_line.options import Parser, apply_settings, positive
from robust_core.errors import InputError
from robust_core.jobs import run_directory
from robust_core.training.atomic import write_atomically
from robust_core.training.checkpoint import checkpoint_info
from robust_core.training.config import RunConfig
from robust_core.training.presets import preset
from robust_core.training.run_directory import RunDirectory, RunStatus, create_run, initialise_run
from robust_core.training.trainer import train

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Train and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    directory = _directory(options)
    try:
        with _shown(options) as on_progress:
            train(run=directory, should_stop=terminated, on_progress=on_progress)
    except InputError:
        if not options.quiet:
            raise
        return WRONG_INPUT  # the run's log has the sentence
    status = directory.status()
    sys.stdout.write(_ending(directory, status))
    if options.export is not None and status.state == "finished":
        _export(directory, options.export)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m robust_core train",
        description="Train a model. Ctrl-C or SIGTERM stops it; --resume goes on after the last "
        "complete epoch and ends as if it had never been stopped.",
    )
    parser.add_argument("config", nargs="?", type=Path, help="configuration (JSON), e.g. a recipe")
    parser.add_argument("--data", help="data set: start from a preset instead of a file")
    parser.add_argument("--method", help="training method of the preset")
    parser.add_argument("--model", help="network, instead of the preset's")
    parser.add_argument("--budget", default="quick", help="quick or paper (default quick)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one value, e.g. epochs=5, method.beta=3, optimiser.learning_rate=0.05",
    )
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="run directory: made anew, or gone on with"
    )
    parser.add_argument("--resume", metavar="ID", help="go on with a run of checkpoints/runs")
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help="copy the finished checkpoint to this file"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads")
    parser.add_argument("--progress", action="store_true", help="show the bar in any case")
    parser.add_argument("--quiet", action="store_true", help="write to the run's log only")
    return parser


def _directory(options: Namespace) -> RunDirectory:
    """Return the run that the options ask for, new or old."""
    if options.resume is not None:
        directory = run_directory(options.resume)
        directory.withdraw_stop()
        return directory
    config = _config(options)
    if config is None:
        if options.run is None:
            raise InputError(
                "train needs a configuration file, --data and --method, --run or --resume"
            )
        return RunDirectory(options.run)
    if options.run is None:
        return create_run(config)
    try:
        options.run.mkdir(parents=True)
    except FileExistsError:
        raise InputError(
            f"{options.run} should not exist yet; --run without a configuration goes on with it"
        ) from None
    except OSError as error:
        raise InputError(f"{options.run} cannot be made: {error.strerror}") from None
    return initialise_run(options.run, config)


def _config(options: Namespace) -> RunConfig | None:
    chosen = (options.data, options.method)
    if options.config is not None:
        if any(chosen) or options.model is not None:
            raise InputError(
                "train takes a configuration file or --data, --method and --model, not both; "
                "--set changes values of a file"
            )
        config = RunConfig.from_json(options.config)
    elif all(chosen):
        config = preset(options.data, options.method, options.budget)
    elif any(chosen) or options.model is not None:
        raise InputError("train needs both --data and --method")
    else:
        return None
    values = config.model_dump(mode="json")
    if options.model is not None:
        values["model"] = {"name": options.model, "parameters": {}}
    return RunConfig.create(apply_settings(values, options.set))


@contextmanager
def _shown(options: Namespace) -> Iterator[Callable[[RunStatus], None] | None]:
    """Show the log on stderr, and a bar with the time left where somebody watches."""
    if options.quiet:
        yield None
        return
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if not (options.progress or sys.stderr.isatty()):
        yield None
        return
    with logging_redirect_tqdm(), tqdm(bar_format=BAR, file=sys.stderr, leave=False) as bar:

        def show(status: RunStatus) -> None:
            bar.total = status.num_steps or None
            bar.n = status.step
            bar.set_description_str(status.phase or status.state, refresh=False)
            left = "" if status.seconds_left is None else f", {_clock(status.seconds_left)} left"
            bar.set_postfix_str(f"epoch {status.epoch}/{status.num_epochs}{left}", refresh=False)
            bar.refresh()

        yield show


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _ending(directory: RunDirectory, status: RunStatus) -> str:
    lines = [f"run {directory.run_id} {status.state} after epoch {status.epoch}"]
    if status.note:
        lines.append(status.note)
    if status.state == "finished":
        card = checkpoint_info(directory.best).card
        robust = card["robust"][0]
        lines.append(
            f"best epoch {card['epoch']} on {card['num_images']} {card['split']} images: clean "
            f"{card['clean_accuracy']:.1%}, under {robust['attack']['name'].upper()} "
            f"{robust['accuracy']:.1%}"
        )
        lines.append(str(directory.best))
    return "\n".join(lines) + "\n"


def _export(directory: RunDirectory, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, directory.best.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
