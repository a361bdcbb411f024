"""Files that are either the old version or the new one, never half of one; strict JSON."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robust_core.errors import InputError


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` under a temporary name beside `path`, flush it to the disk and rename it.

    When anything fails (a full disk, a kill), `path` keeps its old content; the temporary file is
    removed unless the process itself is killed.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; what is written there takes its place at the end.

    When anything fails, `path` keeps its old content and the temporary file is removed.

    Raises:
        OSError: the file cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def parse_json_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Parse strict JSON: one object, no repeated keys, no NaN or infinity.

    Args:
        text: the JSON.
        what: what the text is, for the sentence of an error.

    Raises:
        InputError: the text is not that.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} should be JSON, but {reason_words(error)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{what} should be a JSON object {{...}}, got a {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice")
    return values


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def reason_words(error: Exception) -> str:
    """Return why a file cannot be read, to go on after "but"."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError):
        return (error.strerror or "it cannot be read").lower()
    return str(error)
