"""Whose a job is: a file in its folder, where somebody asked."""

from pathlib import Path

from robust_core.files import write_atomically

FILE = "owner"


def write_owner(folder: Path, owner: str) -> None:
    """Note in a job's folder whose it is.

    Raises:
        OSError: it cannot be written.
    """
    write_atomically(folder / FILE, owner.encode())


def owner_of(folder: Path) -> str:
    """Return whose the job in a folder is; "" where nobody asked, or it cannot be read."""
    try:
        return (folder / FILE).read_text("utf-8")
    except (OSError, UnicodeError):
        return ""
