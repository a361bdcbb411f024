"""What training and evaluating from the command line share: where to work, how to be watched."""

import logging
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from robust_core import jobs
from robust_core.command_line import PROGRAM
from robust_core.command_line.options import Parser, positive
from robust_core.distributed import ProcessGroup
from robust_core.errors import InputError
from robust_core.jobs.directory import WorkDirectory, WorkStatus

RunT = TypeVar("RunT", bound=WorkDirectory[Any, Any])
StatusT = TypeVar("StatusT", bound=WorkStatus)
MOST_THREADS = 1024


@dataclass(frozen=True)
class Work(Generic[RunT]):
    """One kind of work and its wording on the command line.

    Attributes:
        kind: its directories.
        plan: what its plan is called, with an article.
        missing: the sentence where the options name nothing to do.
        describing: options that describe the work; resumed work has its plan already.
    """

    kind: type[RunT]
    plan: str
    missing: str
    describing: tuple[str, ...] = ()

    def directory(self, options: Namespace, read_plan: Callable[[], Any]) -> RunT:
        """Return the directory that the options ask for, new or old.

        Args:
            options: with `resume` and `run`.
            read_plan: returns what to do, or None where the options do not say.

        Raises:
            InputError: nothing to do, no such id, or a folder that cannot be made.
        """
        if options.resume is not None:
            self._refuse_changes(options, "--resume")
            found = jobs.find(self.kind, options.resume)
            found.withdraw_stop()
            return found
        plan = read_plan()
        if plan is None:
            if options.run is None:
                raise InputError(self.missing)
            self._refuse_changes(options, "--run")
            return self.kind(options.run)
        if options.run is None:
            return self.kind.create(plan)
        if _is_taken(options.run):
            raise InputError(
                f"{options.run} should not exist yet; to resume it, give --run without {self.plan}"
            )
        return self.kind.initialise(options.run, plan)

    def _refuse_changes(self, options: Namespace, going_on: str) -> None:
        given = [name for name in self.describing if getattr(options, name)]
        if given:
            words = ", ".join(name if name == "config" else f"--{name}" for name in given)
            raise InputError(f"{going_on} continues with {self.plan} unchanged; leave out {words}")


def _is_taken(path: Path) -> bool:
    """Return whether `path` is anything but a name that is free or an empty folder."""
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def thread_count(text: str) -> int:
    """Return a number of threads, 1 to 1024, for a parser."""
    number = positive(text)
    if number > MOST_THREADS:
        raise ArgumentTypeError(f"must be <= {MOST_THREADS}, got {number}")
    return number


def add_work_options(parser: Parser, *, kind: str) -> None:
    """Add --run, --resume, --threads, --progress and --quiet.

    Args:
        parser: of the command.
        kind: of the directory, "run" or "evaluation".
    """
    listed = f"{PROGRAM} list {kind}s"
    parser.add_argument(
        "--run",
        "--directory",  # torchrun takes --run for an abbreviation of its own
        type=Path,
        metavar="DIR",
        help=f"{kind} directory: created, or resumed if it exists (--directory under torchrun)",
    )
    parser.add_argument("--resume", metavar="ID", help=f"resume one of '{listed}'")
    parser.add_argument("--threads", type=thread_count, metavar="N", help="number of CPU threads")
    parser.add_argument("--progress", action="store_true", help="always show the progress bar")
    parser.add_argument("--quiet", action="store_true", help=f"write to the log of the {kind} only")


@contextmanager
def watched(
    options: Namespace, group: ProcessGroup, bar_format: str, draw: Callable[[Any, StatusT], None]
) -> Iterator[Callable[[StatusT], None] | None]:
    """Show the log on stderr, and a progress bar on a terminal.

    Args:
        options: with `quiet` and `progress`.
        group: only its main process shows anything.
        bar_format: tqdm's.
        draw: puts a status into the bar.
    """
    if options.quiet or not group.is_main:
        yield None
        return
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if not (options.progress or sys.stderr.isatty()):
        yield None
        return
    with (
        logging_redirect_tqdm(),
        tqdm(total=1.0, bar_format=bar_format, file=sys.stderr, leave=False) as bar,
    ):

        def show(status: StatusT) -> None:
            draw(bar, status)
            bar.refresh()

        yield show


def time_left(status: WorkStatus) -> str:
    """Return "1:05 left"; empty while that is unknown."""
    if status.seconds_left is None:
        return ""
    minutes, rest = divmod(round(status.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    words = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{words} left"
