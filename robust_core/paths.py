"""Where files live; the only place that reads the environment for it."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """Return the folder of data sets: `ROBUST_DATA`, or `data/` in the repository."""
    return Path(os.environ.get("ROBUST_DATA") or REPOSITORY / "data").expanduser()


def checkpoints_folder() -> Path:
    """Return the folder of checkpoints and runs: `ROBUST_CHECKPOINTS`, or `checkpoints/`."""
    return Path(os.environ.get("ROBUST_CHECKPOINTS") or REPOSITORY / "checkpoints").expanduser()
