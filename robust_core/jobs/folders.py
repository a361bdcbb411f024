"""Folders that are there whole or not at all, of which one is made at a time in a folder."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock

from robust_core.errors import InputError

NEW, DELETED = ".new-", ".deleted-"  # what names of folders being made or removed begin with


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Make `folder` and hold it, so that two processes do not choose one name or one place.

    What killed processes left there half made or half removed is swept away.

    Raises:
        InputError: the folder cannot be written.
    """
    lock = FileLock(folder / ".lock", mode=0o644)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise InputError(f"the {folder.name} folder cannot be written: {error.strerror}") from None
    try:
        for left in (*folder.glob(f"{NEW}*"), *folder.glob(f"{DELETED}*")):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def make_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Make the folder `path` with all that `write` puts into a folder, or nothing.

    Raises:
        OSError: it cannot be written, or is there already with something in it.
    """
    draft = path.with_name(f"{NEW}{path.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        write(draft)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def remove(path: Path) -> None:
    """Remove the folder `path` at once; the caller holds the folder it is in.

    Raises:
        OSError: it cannot be removed.
    """
    doomed = path.with_name(f"{DELETED}{path.name}")
    path.rename(doomed)
    shutil.rmtree(doomed)


def free_path(parent: Path, stem: str) -> Path:
    """Return a new name in `parent`: `stem`, the time, and a number where it is taken."""
    stem = re.sub(r"[^a-z0-9_-]+", "_", stem.lower()).strip("_-")[:60]
    stem = f"{stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    number, path = 1, parent / stem
    while path.exists():
        number += 1
        path = parent / f"{stem}-{number}"
    return path
