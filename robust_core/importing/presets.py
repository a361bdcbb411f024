"""Published networks whose files do not tell all: what their code says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robust_core.errors import InputError
from robust_core.importing.layout import Candidate, only_candidate
from robust_core.models.base import MODELS
from robust_core.models.normalisation import NORMALISATION_FIELDS
from robust_core.registry import Registry

PRESETS: Registry["Preset"] = Registry("preset", "robust_core.importing.published")
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet_samples": 1000, "mnist": 10, "svhn": 10}
SAME = 1e-4  # between a mean or std in the file and in the code
FREE = {*NORMALISATION_FIELDS, "head_normalisation"}  # not told by names, or the same function


@dataclass(frozen=True)
class Preset:
    """What the code of a published network says about its weights.

    Attributes:
        name: such as "trades-wrn-34-10".
        origin: citation and repository.
        data: name of the data set, one of `CLASSES`.
        architecture: a name of `MODELS`.
        parameters: those of the architecture that the code fixes, mean and std among them; without
            these the file has them, or nobody knows. What is left out has our default.
        key: where the weights stand in the file, such as "last"; None: found by itself.
        notes: what else a person should know; may be empty.
    """

    name: str
    origin: str
    data: str
    architecture: str
    parameters: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    notes: str = ""

    @property
    def declares_normalisation(self) -> bool:
        """Whether the code says how the network expects its pixels."""
        return bool({"mean", "per_image"} & self.parameters.keys())


def register(*presets: Preset) -> None:
    """File presets under their names."""
    for preset in presets:
        PRESETS.register(preset.name)(preset)


def matching(
    candidates: Sequence[Candidate], preset: Preset, source: str = "the file"
) -> Candidate:
    """Return the one candidate that a preset names, with the preset's mean and std.

    Where the file brings mean and std of its own, these are kept.

    Raises:
        InputError: none fits; the sentence says how the file differs.
    """
    same = [c for c in candidates if c.architecture == preset.architecture]
    if not same:
        names = ", ".join(dict.fromkeys(c.architecture for c in candidates))
        raise InputError(f"{preset.name} is a {preset.architecture}, but {source} fits {names}")
    complete = MODELS.get(preset.architecture).Parameters.create(preset.parameters)
    wanted = complete.model_dump(mode="json")
    fitting = [c for c in same if not _differences(wanted, c.parameters)]
    if not fitting:
        names = min((_differences(wanted, c.parameters) for c in same), key=len)
        closest = next(c for c in same if _differences(wanted, c.parameters) == names)
        raise InputError(
            f"{preset.name} has {_listed(names, wanted)}, but {source} has "
            f"{_listed(names, closest.parameters)}"
        )
    candidate = only_candidate(fitting, source)
    if candidate.num_classes != CLASSES[preset.data]:
        raise InputError(
            f"{preset.name} has {CLASSES[preset.data]} outputs for {preset.data}, but {source} has "
            f"{candidate.num_classes}"
        )
    if not preset.declares_normalisation:
        return candidate
    stated = {name: wanted[name] for name in NORMALISATION_FIELDS}
    if candidate.normalisation is None:
        return replace(candidate, parameters={**candidate.parameters, **stated})
    _check_normalisation(candidate, preset, stated, source)
    return candidate


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [name for name in wanted if name not in FREE and wanted[name] != found[name]]


def _listed(names: Sequence[str], values: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} {values[name]}" for name in names)


def _check_normalisation(
    candidate: Candidate, preset: Preset, stated: Mapping[str, Any], source: str
) -> None:
    assert candidate.normalisation is not None
    for name, found in zip(("mean", "std"), candidate.normalisation, strict=True):
        expected = tuple(stated[name])
        length = max(len(found), len(expected))
        pairs = zip(*(v * length if len(v) == 1 else v for v in (found, expected)), strict=True)
        if stated["per_image"] or any(abs(a - b) > SAME for a, b in pairs):
            words = "that of each image" if stated["per_image"] else _numbers(expected)
            raise InputError(
                f"{preset.name} has the {name} {words}, but {source} brings {_numbers(found)}"
            )


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
