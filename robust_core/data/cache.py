"""Arrays kept on disk, so that what takes seconds to make is made once."""

import hashlib
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CACHE = "cache"  # its folder in the data folder

logger = logging.getLogger(__name__)


def cached_arrays(
    folder: Path, name: str, key: Any, make: Callable[[], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Return what `make` returns, from the cache where it is there, and keep it otherwise.

    A cache that cannot be read or written costs time and a line in the log, never the result. Files
    are written under a temporary name and renamed, so that a reader never sees half of one.

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
        _write(path, arrays)
    return arrays


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("cannot read the cache %s (%s), making it again", path, error)
        return None


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    part: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
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
