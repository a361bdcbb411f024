"""How a process records its work: progress, log, and how it ends, whatever happens."""

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol

import torch

from robust_core.errors import InputError
from robust_core.files import reason_words
from robust_core.jobs.directory import StatusT, WorkDirectory
from robust_core.jobs.heartbeat import heartbeat

STATUS_INTERVAL = 0.5  # seconds between two writings of the status

logger = logging.getLogger("robust_core.training")


class StopRequested(Exception):  # noqa: N818 (a request, not an error)
    """Somebody asked the work to stop."""


class Reporter(Protocol):
    """What is told about the progress of work."""

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Note changes of the status; write them at once if `now`."""


class Silence:
    """The reporter of a process whose leader reports for all."""

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Say nothing."""


@dataclass
class Progress(Generic[StatusT]):
    """Keeps status.json up to date."""

    run: WorkDirectory[StatusT, Any]
    on_progress: Callable[[StatusT], None] | None
    status: StatusT
    written: float = 0.0

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Change the status; write it if `now`, or if the last writing is a while ago."""
        self.status = replace(self.status, **changes)
        if now or time.monotonic() - self.written >= STATUS_INTERVAL:
            self.written = time.monotonic()
            self.run.write_status(self.status)
            if self.on_progress is not None:
                self.on_progress(self.status)


@contextmanager
def recorded(
    progress: Progress[Any], *, so_far: Callable[[], str], kept: Callable[[], str]
) -> Iterator[None]:
    """Beat, log and note how the work ends, whatever happens.

    Args:
        progress: with the status to begin with.
        so_far: how far the work has come, such as "after epoch 3", for the log.
        kept: what is safe when the disk is full, such as "nothing was kept".
    """
    run = progress.run
    with heartbeat(run.beat), _log_file(run):
        try:
            progress.update(now=True)
            yield
        except StopRequested:
            logger.info("stopped on request %s", so_far())
            progress.update(now=True, state="stopped", phase="", seconds_left=None)
            run.withdraw_stop()
        except KeyboardInterrupt:
            logger.info("interrupted %s", so_far())
            progress.update(now=True, state="stopped", phase="", seconds_left=None)
            raise
        except (InputError, OSError, MemoryError, torch.OutOfMemoryError) as error:
            sentence = _sentence(error, run, kept)
            _note_failure(progress, sentence)
            raise InputError(sentence) from error
        except Exception as error:
            logger.exception("unexpected error")
            _note_failure(progress, f"unexpected {type(error).__name__}: {error}"[:500])
            raise


def _note_failure(progress: Progress[Any], sentence: str) -> None:
    logger.error(sentence)
    try:
        progress.update(now=True, state="failed", error=sentence, phase="", seconds_left=None)
    except OSError:
        logger.error("the status cannot be written either")


def _sentence(error: BaseException, run: WorkDirectory[Any, Any], kept: Callable[[], str]) -> str:
    if isinstance(error, InputError):
        return str(error)
    name = f"{run.kind} {run.run_id!r}"
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else _reason(error)
        return f"{name} could not be saved because {reason}; {kept()}"
    return f"{name} ran out of memory; expected a smaller batch size or network"


def _reason(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    file = error.filename2 or error.filename
    return f"{Path(file).name}: {reason}" if isinstance(file, str) else reason


@contextmanager
def _log_file(run: WorkDirectory[Any, Any]) -> Iterator[None]:
    """Copy what this package logs into the log.txt of `run`."""
    package = logging.getLogger("robust_core")
    try:
        handler = logging.FileHandler(run.log, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{run.log} cannot be written: {reason_words(error)}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    level = package.level
    package.setLevel(min(level, logging.INFO) if level else logging.INFO)
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        handler.close()
