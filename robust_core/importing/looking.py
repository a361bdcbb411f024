"""What a file or a folder tells by itself, before anybody says anything about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust_core.errors import InputError
from robust_core.importing.layout import Candidate, Normalisation, recognise
from robust_core.importing.opening import is_ours, open_tensors
from robust_core.importing.presets import PRESETS, matching
from robust_core.importing.sources import Told, says_its_network, told_by
from robust_core.importing.unwrapping import sets_of_weights, unwrap


@dataclass(frozen=True)
class Look:
    """What a file or a folder tells, and so what is left to ask.

    Attributes:
        format: such as "safetensors".
        ours: whether this laboratory wrote it; then it says everything itself.
        keys: its sets of weights where one must be chosen first; the rest is then not known yet.
        num_tensors: of the network.
        candidates: every network of ours that the names and shapes fit; () where none does.
        fault: why none does; empty where one does.
        presets: names of the published networks that it may be.
        normalisation: mean and std that it carries; None: it does not tell.
        told: what a graph or a folder says, which say their network themselves; None: it holds
            weights.
    """

    format: str
    ours: bool = False
    keys: tuple[str, ...] = ()
    num_tensors: int = 0
    candidates: tuple[Candidate, ...] = ()
    fault: str = ""
    presets: tuple[str, ...] = ()
    normalisation: Normalisation | None = None
    told: Told | None = None


def look_at(path: Path, key: str | None = None) -> Look:
    """Return what a file or a folder tells; nothing in it is run.

    Args:
        path: the file or the folder.
        key: which set of weights, where it holds several.

    Raises:
        InputError: it cannot be opened, needs code, or holds no weights.
    """
    if says_its_network(path):
        told = told_by(path)
        return Look(told.format, normalisation=told.normalisation, told=told)
    if is_ours(path):
        return Look("a checkpoint of this laboratory", ours=True)
    opened, what = open_tensors(path), path.name
    keys = sets_of_weights(opened.values) if key is None else ()
    if keys:
        return Look(opened.format, keys=keys)
    unwrapped = unwrap(opened.values, key, what=what)
    candidates: tuple[Candidate, ...] = ()
    fault = ""
    try:
        candidates = recognise(unwrapped.tensors, what)
    except InputError as error:
        fault = str(error)
    return Look(
        format=opened.format,
        num_tensors=len(unwrapped.tensors),
        candidates=candidates,
        fault=fault,
        presets=tuple(name for name in PRESETS.names() if _may_be(name, candidates)),
        normalisation=unwrapped.normalisation,
    )


def narrowed(candidates: Sequence[Candidate], said: Mapping[str, Any]) -> tuple[Candidate, ...]:
    """Return the candidates whose parameters have all of the values that somebody has said."""
    return tuple(
        one for one in candidates if all(one.parameters.get(key) == v for key, v in said.items())
    )


def _may_be(preset: str, candidates: Sequence[Candidate]) -> bool:
    try:
        matching(candidates, PRESETS.get(preset))
    except InputError:
        return False
    return bool(candidates)
