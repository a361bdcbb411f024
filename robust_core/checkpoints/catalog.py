"""Trained models: their names and places, what they say about themselves, loading, saving."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from safetensors.torch import save_file

from robust_core.checkpoints.card import Card
from robust_core.checkpoints.file import (
    FORMAT,
    LARGEST_HEADER,
    METADATA_KEY,
    SUFFIX,
    Description,
    build,
    check_size,
    filled,
    parse_description,
    parse_header,
    shipped_tensors,
    stored_forms,
)
from robust_core.checkpoints.folders import IMPORTED, files_by_name
from robust_core.checkpoints.info import CheckpointInfo
from robust_core.checkpoints.packaged import (
    is_packaged,
    packaged_models,
    packaged_tensors,
    read_packaged,
    write_description,
)
from robust_core.config.imported import ImportConfig
from robust_core.config.run import RunConfig
from robust_core.errors import InputError
from robust_core.files import replacing, write_atomically
from robust_core.methods.base import TrainingMethod
from robust_core.models.base import Classifier
from robust_core.paths import checkpoints_folder
from robust_core.registry import unknown_name

KEPT = 4096  # headers and digests, each of one version of a file
WEIGHTS = (SUFFIX, ".pt", ".pth", ".ckpt", ".tar", ".bin", ".onnx")  # endings of files of models


def list_checkpoints() -> list[str]:
    """Return the names of all readable checkpoints: shipped, of runs (newest first), imported.

    "digits-pgd_at" is shipped (or a packaged one, with the weights of an installed package),
    "runs/<id>" the best model of a run, "imported/<name>" an upload.
    A file in `pretrained/` of the person's own folder goes by its bare name, too, unless a shipped
    model has it: then it is "own/<name>", and neither hides the other.
    Only headers are read; damaged files are left out.
    """
    return [info.name for info in list_infos()]


def list_infos() -> list[CheckpointInfo]:
    """Return what the checkpoints of `list_checkpoints` say about themselves, in that order.

    One look at the folders; a header is read again only when its file has changed.
    """
    found = []
    for name, path in files_by_name(packaged_models()).items():
        try:
            found.append(_info(name, path, ""))
        except InputError:
            continue  # damaged, or deleted since it was listed
    return found


def checkpoint_info(reference: str | Path) -> CheckpointInfo:
    """Return what a checkpoint says about itself, from its header.

    Args:
        reference: a name of `list_checkpoints` or the path of a .safetensors file; with
            ":<inference>" behind it, one of the other ways to use its network.

    Raises:
        InputError: no such checkpoint, a file that is none, or an inference it does not have.
    """
    return _info(*_locate(reference))


def other_modes(info: CheckpointInfo) -> list[CheckpointInfo]:
    """Return the other ways to use the network of a checkpoint, each as its own reference."""
    return [replace(info, name=f"{info.name}:{one}", inference=one) for one in info.inferences]


def _info(name: str, path: Path, inference: str) -> CheckpointInfo:
    version = _version(path)
    description = _read_description(path, *version)
    if inference and inference not in description.inferences:
        raise unknown_name(f"inference of {name}", inference, list(description.inferences))
    return CheckpointInfo(
        name=f"{name}:{inference}" if inference else name,
        path=path,
        digest=_digest(path, *version),
        config=description.config,
        image_shape=description.image_shape,
        num_classes=len(description.class_names),
        class_names=description.class_names,
        epoch=description.epoch,
        measured=description.card,
        inferences=description.inferences,
        inference=inference,
    )


def load_model(reference: str | Path) -> Classifier:
    """Return the network of a checkpoint, on the CPU, in eval mode and frozen.

    The architecture is built from the stored configuration; every tensor must fit it by name, shape
    and type, and be finite.

    Args:
        reference: as for `checkpoint_info`; with an inference, the network used that way.

    Raises:
        InputError: no such checkpoint, or a file that is damaged, foreign or a pickle.
    """
    _, _, inference = _locate(reference)
    model, method = load_trained(reference)
    return method.inference(inference, model).eval() if inference and method else model


def load_trained(reference: str | Path) -> tuple[Classifier, TrainingMethod | None]:
    """Return the network of a checkpoint and the method that trained it, with its shipped parts.

    Arguments and errors as for `load_model`; an inference in the reference is ignored. A model that
    was not trained here has no method.
    """
    _, path, _ = _locate(reference)
    _version(path)
    if is_packaged(path):
        packaged = read_packaged(path)
        description = parse_description(packaged.description, path.stem)
        return filled(description, packaged_tensors(packaged, path.stem), path.stem)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    return build(data, path.name)


def save_checkpoint(
    path: Path,
    model: Classifier,
    *,
    config: RunConfig | ImportConfig,
    method: TrainingMethod | None = None,
    class_names: tuple[str, ...],
    epoch: int,
    card: Card | None,
) -> None:
    """Write `model` and what is known about it to `path`, atomically.

    Args:
        path: ends in .safetensors.
        model: the network; its weights are stored as they are, in half precision where that
            changes none of a tensor's values.
        config: the run that made it, or what is known of a model from elsewhere.
        method: what trained it, attached to it; its shipped parts travel along. None: none.
        class_names: K names.
        epoch: complete epochs behind the weights.
        card: what was measured on it; None: nothing yet, of a model from elsewhere.

    Raises:
        OSError: the file cannot be written.
    """
    description = Description(
        format=FORMAT,
        config=config,
        image_shape=model.image_shape,
        class_names=class_names,
        epoch=epoch,
        card=card,
        inferences=() if method is None else method.inferences(model),
    )
    if is_packaged(path):
        write_description(
            path, description.model_dump(mode="json")
        )  # its weights are not ours to write
        return
    tensors = stored_forms(shipped_tensors(model, method))
    metadata = {METADATA_KEY: json.dumps(description.model_dump(mode="json"))}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)


def import_checkpoint(filename: str, data: bytes) -> str:
    """Keep an uploaded file as "imported/..." once it has passed every check of `load_model`.

    Args:
        filename: what the person calls it; only letters, digits, "_", "." and "-" are kept.
        data: the content.

    Returns:
        Its name, "imported/<name>"; the name it already has when the same file was imported before.

    Raises:
        InputError: the file is no checkpoint of ours, or cannot be stored.
    """
    build(data, filename)
    try:
        name, path = free_path(filename, lambda other: other.read_bytes() == data)
        if not path.exists():
            write_atomically(path, data)
    except OSError as error:
        raise InputError(f"{filename} cannot be stored: {error.strerror}") from None
    return name


def delete_model(name: str) -> None:
    """Delete a model that was imported or that a person has put among the models.

    Raises:
        InputError: no such model, one that ships, one of a run (which goes with its run), or a file
            that cannot be deleted.
    """
    info = checkpoint_info(name)
    if info.kind not in ("imported", "own"):
        owner = "ships with the laboratory" if info.kind == "shipped" else "belongs to its run"
        raise InputError(f"only imported models and your own can be deleted; {name} {owner}")
    try:
        info.path.unlink()
    except OSError as error:
        raise InputError(f"{name} cannot be deleted: {error.strerror}") from None


def free_path(
    filename: str, is_same: Callable[[Path], bool] = lambda other: False
) -> tuple[str, Path]:
    """Return a name that no imported model has yet, "imported/<name>", and the path of its file.

    Args:
        filename: what the person calls it; only letters, digits, "_", "." and "-" are kept.
        is_same: whether the file of another model is good as well; then its name is returned.

    Raises:
        OSError: the folder cannot be made, or a file in it not read.
    """
    folder = checkpoints_folder() / IMPORTED
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", _bare(filename)).strip("._-")[:80] or "model"
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        path = folder / f"{name}{SUFFIX}"
        if not path.exists() or is_same(path):
            return f"{IMPORTED}/{name}", path
        number += 1


def _bare(filename: str) -> str:
    """Return a file's name without folder and without the endings of files of models."""
    path = Path(filename)
    while path.suffix.lower() in WEIGHTS:
        path = path.with_suffix("")
    return path.name


def _locate(reference: str | Path) -> tuple[str, Path, str]:
    """Return the name, the file and the inference that a reference names."""
    known = files_by_name(packaged_models())
    whole = str(reference)
    before, _, after = whole.rpartition(":")
    for name, inference in ((whole, ""), (before, after)):
        try:
            path = known.get(name) or Path(name)
            if path.is_file():
                return name, path, inference
        except (OSError, ValueError):  # too long for a path, or with a zero byte in it
            pass
    raise unknown_name("checkpoint", whole[:200], list_checkpoints())


def _version(path: Path) -> tuple[int, int]:
    """Return time of change and size, which tell one content of a file from another."""
    try:
        status = path.stat()
    except OSError:
        raise InputError(f"{path.name} cannot be read: there is no such file") from None
    check_size(status.st_size, path.name)
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=KEPT)
def _read_description(path: Path, modified: int, size: int) -> Description:
    if is_packaged(path):
        return parse_description(read_packaged(path).description, path.stem)
    try:
        with path.open("rb") as file:
            beginning = file.read(8 + LARGEST_HEADER)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    _, description = parse_header(beginning, size, path.name)
    return description


@lru_cache(maxsize=KEPT)
def _digest(path: Path, modified: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
