"""The files that may be checkpoints, by the names that they go by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from robust_core.paths import checkpoints_folder, shipped_folder

SUFFIX = ".safetensors"
IMPORTED = "imported"  # folder of files from elsewhere
Kind = Literal["shipped", "run", "imported", "own"]


def files_by_name(packaged: Mapping[str, Path]) -> dict[str, Path]:
    """Return all files that may be checkpoints, by name, in the order of `list_checkpoints`.

    Args:
        packaged: shipped models whose weights are a package, by name.
    """
    folder = checkpoints_folder()
    shipped = _models_in(shipped_folder()) | dict(packaged)
    own = {} if _same(folder, shipped_folder()) else _models_in(folder)
    runs = sorted(folder.glob(f"runs/*/best{SUFFIX}"), key=_modified, reverse=True)
    return (
        shipped
        | {f"own/{name}" if name in shipped else name: path for name, path in own.items()}
        | {f"runs/{path.parent.name}": path for path in runs}
        | {f"{IMPORTED}/{path.stem}": path for path in sorted(folder.glob(f"{IMPORTED}/*{SUFFIX}"))}
    )


def kind_of(name: str, path: Path) -> Kind:
    """Return whose a checkpoint of the catalogue is, from its name and its file."""
    if name.startswith("runs/"):
        return "run"
    if name.startswith(f"{IMPORTED}/"):
        return "imported"
    folder = checkpoints_folder()
    if not _same(folder, shipped_folder()) and _same(path.parent, folder / "pretrained"):
        return "own"
    return "shipped"


def incoming_folder() -> Path:
    """Return where a person puts files and folders that are too large to upload."""
    return checkpoints_folder() / "incoming"


def incoming_files() -> list[Path]:
    """Return the files and folders there by name; [] where there is no such folder."""
    try:
        found = [one for one in incoming_folder().iterdir() if one.name[:1] != "."]
    except OSError:
        return []
    return sorted(found, key=lambda one: one.name.casefold())


def _models_in(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob(f"pretrained/*{SUFFIX}"))}


def _same(folder: Path, other: Path) -> bool:
    return folder.resolve() == other.resolve()


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
