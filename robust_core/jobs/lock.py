"""Locks of a folder's files: the only thing that tells whether a process is at work there.

The system lets go of a lock when its holder dies, whatever kills it and whatever the clock says.
"""

import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from robust_core.errors import InputError
from robust_core.files import reason_words

LOCK_INTERVAL = 0.05  # seconds between two attempts at a lock
PATIENCE = 0.5  # seconds in which whoever only looks whether a lock is held has let go of it
LOOK = 0.02  # seconds that a lock must stay held to count so: another may be looking, too


def take(path: Path, patience: float = PATIENCE) -> FileLock | None:
    """Take the lock at `path`; its `release` may be called by any thread.

    Args:
        path: the file; a folder in its place, which nobody can hold, goes.
        patience: seconds to wait for the holder.

    Returns:
        The lock, or None where another process, or another part of this one, holds it.

    Raises:
        InputError: the file cannot be written.
    """
    lock = FileLock(path, mode=0o644, thread_local=False)
    try:
        if path.is_dir():
            shutil.rmtree(path)
        lock.acquire(timeout=patience, poll_interval=min(LOCK_INTERVAL, patience / 2))
    except Timeout:
        return None
    except OSError as error:
        raise InputError(f"{path} should be a file to lock, but {reason_words(error)}") from None
    return lock


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock at `path`; False where nobody can."""
    if not path.is_file():
        return False
    try:
        lock = take(path, LOOK)
    except InputError:
        return False
    if lock is None:
        return True
    lock.release()
    return False
