"""Files that a network is built from besides its weights, kept under the digest of their content.

They lie beside the imported models, as data: whoever opens one checks that it is what it was.
"""

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from robust_core.errors import InputError
from robust_core.files import write_atomically
from robust_core.paths import checkpoints_folder

FOLDER = "imported"


def _check_digest(digest: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(
            f"a file is named by its SHA-256, 64 digits in hexadecimal, got {digest!r}"
        )
    return digest


Digest = Annotated[
    str,
    AfterValidator(_check_digest),
    Field(description="SHA-256 of the file that the network is built from."),
]


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def keep_file(data: bytes, suffix: str) -> str:
    """Keep the content of a file with the suffix `suffix` (such as ".onnx"); return its digest.

    Raises:
        InputError: it cannot be stored.
    """
    digest = digest_of(data)
    path = checkpoints_folder() / FOLDER / f"{digest}{suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise InputError(f"{path} cannot be stored: {error.strerror}") from None
    return digest


def kept_file(digest: str, suffix: str) -> bytes:
    """Return the content of a kept file.

    Raises:
        InputError: it is not there, or is another one by now.
    """
    path = checkpoints_folder() / FOLDER / f"{digest}{suffix}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"this network is built from the file {path.name}, which cannot be read in "
            f"{path.parent}: {error.strerror}; import the model again"
        ) from None
    if digest_of(data) != digest:
        raise InputError(f"{path} is damaged or was changed; import the model again")
    return data
