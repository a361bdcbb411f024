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

from robust_core.command_line.options import Parser, positive
from robust_core.distributed import Team
from robust_core.errors import InputError
from robust_core.jobs.directory import WorkDirectory, WorkStatus

PlanT = TypeVar("PlanT")
RunT = TypeVar("RunT", bound=WorkDirectory[Any])
StatusT = TypeVar("StatusT", bound=WorkStatus)
MOST_THREADS = 1024


@dataclass(frozen=True)
class Work(Generic[RunT, PlanT]):
    """One kind of work and how its directories come about.

    Attributes:
        plan: what is called the plan of it, with its article.
        missing: the sentence where the options name nothing to do.
        at: the directory at a path. find: the one with an id. create: a new one on the shelf.
        initialise: writes the first files into an empty folder.
        describing: options that say what to do; work that is gone on with has its plan already.
    """

    plan: str
    missing: str
    at: Callable[[Path], RunT]
    find: Callable[[str], RunT]
    create: Callable[[PlanT], RunT]
    initialise: Callable[[Path, PlanT], RunT]
    describing: tuple[str, ...] = ()

    def directory(self, options: Namespace, read_plan: Callable[[], PlanT | None]) -> RunT:
        """Return the directory that the options ask for, new or old.

        Args:
            options: with `resume` and `run`.
            read_plan: returns what to do, or None where the options do not say.

        Raises:
            InputError: nothing to do, no such id, or a folder that cannot be made.
        """
        if options.resume is not None:
            self._refuse_changes(options, "--resume")
            found = self.find(options.resume)
            found.withdraw_stop()
            return found
        plan = read_plan()
        if plan is None:
            if options.run is None:
                raise InputError(self.missing)
            self._refuse_changes(options, "--run")
            return self.at(options.run)
        if options.run is None:
            return self.create(plan)
        try:
            options.run.mkdir(parents=True)
        except FileExistsError:
            raise InputError(
                f"{options.run} should not exist yet; --run without {self.plan} goes on with it"
            ) from None
        except OSError as error:
            raise InputError(f"{options.run} cannot be made: {error.strerror}") from None
        return self.initialise(options.run, plan)

    def _refuse_changes(self, options: Namespace, going_on: str) -> None:
        given = [name for name in self.describing if getattr(options, name)]
        if given:
            words = ", ".join(name if name == "config" else f"--{name}" for name in given)
            raise InputError(f"{going_on} goes on with {self.plan} as it is, without {words}")


def thread_count(text: str) -> int:
    """Return a number of threads, 1 to 1024, for a parser."""
    number = positive(text)
    if number > MOST_THREADS:
        raise ArgumentTypeError(f"must be <= {MOST_THREADS}, got {number}")
    return number


def add_work_options(parser: Parser, *, kind: str, shelf: str) -> None:
    """Add --run, --resume, --threads, --progress and --quiet.

    Args:
        parser: of the command.
        kind: of the directory, "run" or "evaluation".
        shelf: the folder with all of them.
    """
    parser.add_argument(
        "--run",
        "--directory",  # torchrun takes --run for an abbreviation of its own
        type=Path,
        metavar="DIR",
        help=f"{kind} directory: made anew, or gone on with (--directory under torchrun)",
    )
    parser.add_argument("--resume", metavar="ID", help=f"go on with one of {shelf}")
    parser.add_argument("--threads", type=thread_count, metavar="N", help="CPU threads")
    parser.add_argument("--progress", action="store_true", help="show the bar in any case")
    parser.add_argument("--quiet", action="store_true", help=f"write to the {kind}'s log only")


@contextmanager
def watched(
    options: Namespace, team: Team, bar_format: str, draw: Callable[[Any, StatusT], None]
) -> Iterator[Callable[[StatusT], None] | None]:
    """Show the log on stderr, and a bar where somebody watches.

    Args:
        options: with `quiet` and `progress`.
        team: only its leader shows anything.
        bar_format: tqdm's.
        draw: puts a status into the bar.
    """
    if options.quiet or not team.leads:
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
