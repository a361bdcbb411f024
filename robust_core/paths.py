"""Where files live; the only place that reads the environment for it.

What ships (models, recipes, the dashboard) is found beside the package in a checkout and inside it
once installed. What a person makes (runs, imports, evaluations, data sets) never mixes with it: it
lies in the checkout, or else in the person's own folder, and two variables move it.
"""

import importlib.util
import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent
INSTALLED = (PACKAGE / "_lab").is_dir()  # a wheel carries `app` and `checkpoints` in there
LAB = PACKAGE / "_lab" if INSTALLED else REPOSITORY
SHIPPED = LAB / "checkpoints"
CACHE = "cache"  # in the data folder; no data set


def shipped_folder() -> Path:
    """Return the folder of what ships: `pretrained/` with models, `recipes/` to make them again."""
    return SHIPPED


def dashboard_file() -> Path:
    """Return the script that `streamlit run` opens; its settings lie beside it."""
    return LAB / "app" / "main.py"


def checkpoints_folder() -> Path:
    """Return the folder of a person's runs, imports and evaluations.

    `ROBUST_CHECKPOINTS`, or `checkpoints/` in a checkout, or that in the person's own folder.
    """
    return _folder("ROBUST_CHECKPOINTS", "checkpoints")


def data_folder() -> Path:
    """Return the folder of data sets.

    `ROBUST_DATA`, or `data/` in a checkout, or that in the person's own folder.
    """
    return _folder("ROBUST_DATA", "data")


def package_folder(name: str) -> Path | None:
    """Return the folder of an installed package, which is not imported; None: it is not there."""
    found = importlib.util.find_spec(name)  # of a name without a dot, this imports nothing
    places = list(found.submodule_search_locations or ()) if found else []
    return Path(places[0]) if places else None


def cache_folder(data: Path | None = None) -> Path:
    """Return where what can be made again is kept, in a data folder; None: the person's."""
    return (data or data_folder()) / CACHE


def _folder(variable: str, name: str) -> Path:
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen).expanduser()
    return (_home() if INSTALLED else REPOSITORY) / name


def _home() -> Path:
    """Return where this system keeps what a person makes with a program."""
    home = Path.home()
    usual, variable = {
        "win32": (home / "AppData" / "Local", "LOCALAPPDATA"),
        "darwin": (home / "Library" / "Application Support", ""),
    }.get(sys.platform, (home / ".local" / "share", "XDG_DATA_HOME"))
    return Path(os.environ.get(variable) or usual) / "robust-lab"
