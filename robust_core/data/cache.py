"""Arrays kept on disk, so that what takes seconds to make is made once."""

import hashlib
import json
import logging
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PART = ".part"  # a file that is being written
KINDS = {".npz", PART}
LARGEST = 4 << 30  # bytes of all files together
IN_USE = 600.0  # seconds since a file was read or written in which it is not removed

logger = logging.getLogger(__name__)


def cached_arrays(
    folder: Path, name: str, key: Any, make: Callable[[], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Return what `make` returns, from the cache where it is there, and keep it otherwise.

    A cache that cannot be read or written costs time and a line in the log, never the result. Files
    are written under a temporary name and renamed, so that a reader never sees half of one. When
    something new is kept, the files that were not used for longest go until all take `LARGEST`
    bytes at most, but none that was used in the last ten minutes; what is larger is not kept.

    Args:
        folder: of the cache; made if missing.
        name: start of the file's name.
        key: everything the arrays depend on, in terms of JSON.
        make: makes the arrays.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    path = folder / f"{name}-{digest[:20]}.npz"
    arrays = _read(path)
    if arrays is None:
        arrays = make()
        if sum(array.nbytes for array in arrays.values()) <= LARGEST:
            _write(path, arrays)
            _sweep(path.parent)
    return arrays


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        _mark_used(path)
        return arrays
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("cannot read the cache %s (%s), making it again", path, error)
        return None


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    part: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, suffix=PART)
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except OSError as error:
        logger.warning("cannot keep %s (%s), going on without", path, error)
        if part is not None:
            Path(part).unlink(missing_ok=True)


def _mark_used(path: Path) -> None:
    """Let the time of change of a file say when it was last of use."""
    try:
        os.utime(path)
    except OSError as error:  # a folder that can only be read
        logger.debug("cannot mark %s (%s)", path, error)


def _sweep(folder: Path) -> None:
    """Remove the files that were not used for longest, until the others take `LARGEST` at most."""
    try:
        found = [(path, path.stat()) for path in folder.iterdir() if path.suffix in KINDS]
        left = sum(status.st_size for _, status in found)
        old = [one for one in found if time.time() - one[1].st_mtime > IN_USE]
        for path, status in sorted(old, key=lambda one: one[1].st_mtime):
            if left > LARGEST or path.suffix == PART:  # what a kill has left behind
                path.unlink(missing_ok=True)
                left -= status.st_size
                logger.info("removed %s from the cache", path)
    except OSError as error:  # another process sweeps, too
        logger.warning("cannot sweep the cache %s (%s), going on", folder, error)
