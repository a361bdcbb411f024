"""Bringing in a model from elsewhere: open, unwrap, recognise, build, check, store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robust_core.checkpoints.catalog import (
    CheckpointInfo,
    checkpoint_info,
    free_path,
    import_checkpoint,
    list_checkpoints,
    save_checkpoint,
)
from robust_core.config.choice import Choice
from robust_core.config.imported import CleanAccuracy, ImportConfig
from robust_core.errors import InputError, brief
from robust_core.importing import arrival
from robust_core.importing.building import Arrived, reorder
from robust_core.importing.choosing import wish_of
from robust_core.importing.costs import num_images_to_measure
from robust_core.importing.opening import is_ours
from robust_core.importing.presets import PRESETS
from robust_core.importing.sources import arrived_from, checked_source, told_by
from robust_core.importing.target import Target, find_target
from robust_core.models.base import Classifier
from robust_core.models.kept_files import keep_file


def import_model(
    source: str | Path | Classifier,
    *,
    preset: str | None = None,
    architecture: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    data: str | None = None,
    class_names: Sequence[str] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    key: str | None = None,
    name: str | None = None,
    claim: float | None = None,
) -> CheckpointInfo:
    """Bring in a model from elsewhere, check it, and store it among the checkpoints.

    Nothing in a file is run. A file of weights is mapped onto a network of this laboratory; what it
    does not tell must be said: which of several networks with the same names it is, how it expects
    its pixels, and what its outputs mean. A graph and a folder say their network themselves. A
    person's own code is stored as an ONNX graph. The same thing imported twice in the same way is
    stored once.

    Args:
        source: a .safetensors file or a file of `torch.save`; an .onnx file; a folder of Hugging
            Face with config.json and model.safetensors; a network of `create_model` (with the
            `parameters` it was made with); or a module in `wrap_model`.
        preset: name of a published network (`robust-lab import --list`), which says all but `data`.
        architecture: a name of `list_models()`, or "torchvision:<name>" or "timm:<name>" for an
            architecture of these libraries.
        parameters: those of the architecture's parameters that the file does not tell; of a graph
            or a folder only `input_size`, the side to which images are resized inside.
        mean: of the normalisation (x - mean) / std of pixels in [0, 1], for each channel or for
            all; 0 for a network that takes [0, 1] as it is. A folder may say it itself.
        std: likewise; 1 for a network that takes [0, 1] as it is.
        data: the data set that it classifies; default: that of the preset.
        class_names: the meaning of its K outputs, in their order; needed without `data` unless the
            source says it. With `data`, the outputs are put into the order of the data set.
        image_shape: (C, H, W); needed without `data` unless the source says it.
        key: which set of weights, where a file holds several, such as "ema".
        name: what to call it; default: the name of the file.
        claim: the clean accuracy in [0, 1] that somebody states, to be compared.

    Returns:
        What the stored checkpoint says of itself; its name is "imported/<name>".

    Raises:
        InputError: the file cannot be opened, does not tell enough, or what it holds does not work.
    """
    if claim is not None and not 0.0 <= claim <= 1.0:
        raise InputError(f"claim must be an accuracy in [0, 1], got {claim:g}")
    wish = wish_of(preset, architecture, parameters or {}, mean, std)
    brought = checked_source(source)
    if isinstance(brought, Path) and is_ours(brought):
        return _import_ours(brought, name)
    found, told = None if preset is None else PRESETS.get(preset), told_by(brought)
    names = told.class_names if class_names is None else tuple(class_names)
    data = data or (found.data if found and names is None else None)
    shape = image_shape or (told.image_shape if data is None else None)
    target = find_target(data, names, shape)
    arrived = arrived_from(brought, wish, target, key or (found and found.key))
    model, what = arrived.model, arrived.origin.file or "the model"
    config = ImportConfig(
        title=brief(name or ""),
        data=target.data,
        model=Choice(name=arrived.network.architecture, parameters=arrived.network.parameters),
        origin=arrived.origin.model_copy(
            update={"preset": preset or "", "claim": claim, "order": target.order or ()}
        ),
    )
    known = _already_here(config, target, name)
    if known is not None:
        return known
    if target.order is not None:
        reorder(model, target.order, target.class_names, what)
    config = _checked(model, config, target, what)
    stem = getattr(brought, "name", "") or wish.architecture or "model"
    return _store(arrived, config, target, name or stem)


def _import_ours(path: Path, name: str | None) -> CheckpointInfo:
    """Store a checkpoint of this laboratory, which says everything itself."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    return checkpoint_info(import_checkpoint(f"{name}{path.suffix}" if name else path.name, data))


def _checked(model: Classifier, config: ImportConfig, target: Target, what: str) -> ImportConfig:
    """Return the configuration with the findings of all checks on arrival.

    Raises:
        InputError: the model does not work.
    """
    findings = arrival.check_behaviour(model, arrival.noise_images(target.image_shape), what)
    origin, images = config.origin, target.images
    notes, clean = list(origin.notes), None
    if target.order is not None:
        notes.append("Its outputs were put into the order of the data set's classes.")
    if images is None:
        notes.append("Nothing was measured on arrival: there were no labelled images here.")
    else:
        sample = images.sample(num_images_to_measure(model))
        result = arrival.measure_clean(model, sample)
        clean = CleanAccuracy(
            num_correct=result.num_correct, num_images=len(sample), split=sample.split
        )
        scale = None if origin.pixels is None else (origin.pixels.mean, origin.pixels.std)
        findings = (*findings, *arrival.check_accuracy(model, sample, result, scale))
        if origin.claim is not None:
            findings = (*findings, arrival.check_claim(result, origin.claim))
    changes = {"notes": tuple(notes), "clean": clean, "findings": findings}
    return config.model_copy(update={"origin": origin.model_copy(update=changes)})


def _already_here(config: ImportConfig, target: Target, name: str | None) -> CheckpointInfo | None:
    """Return the stored model that came from the same file in the same way."""
    for known in list_checkpoints():
        info = checkpoint_info(known)
        other = info.config
        if not (isinstance(other, ImportConfig) and name in (None, other.title or None)):
            continue
        same = [
            (one.origin.sha256, one.origin.path, one.origin.order, one.model, one.data)
            for one in (config, other)
        ]
        extent = (target.image_shape, target.class_names)
        unclaimed = config.origin.claim in (None, other.origin.claim)
        if same[0] == same[1] and unclaimed and extent == (info.image_shape, info.class_names):
            return info
    return None


def _store(arrived: Arrived, config: ImportConfig, target: Target, stem: str) -> CheckpointInfo:
    if arrived.kept is not None:
        keep_file(*arrived.kept)
    try:
        name, path = free_path(stem)
        save_checkpoint(
            path, arrived.model, config=config, class_names=target.class_names, epoch=0, card=None
        )
    except OSError as error:
        raise InputError(f"the model cannot be stored: {error.strerror}") from None
    return checkpoint_info(name)
