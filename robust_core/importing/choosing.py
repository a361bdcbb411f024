"""Which network a file is of, and how it expects its pixels: what it tells, and what one must say.

Published networks share names and shapes and compute differently. Nothing is guessed here: what the
file does not tell comes from a preset or from the person.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from robust_core.config.imported import PixelScale
from robust_core.errors import InputError
from robust_core.importing.layout import Candidate, Normalisation, only_candidate, recognise
from robust_core.importing.presets import PRESETS, Preset, matching
from robust_core.importing.unwrapping import Unwrapped
from robust_core.models.base import MODELS, Classifier
from robust_core.models.normalisation import NORMALISATION_FIELDS

SCALE_FIELDS = ("mean", "std")
LIBRARIES = ("torchvision", "timm")  # architectures with a parameter `architecture`
ROUNDED = 1e-4  # between two statements of the same mean or std


@dataclass(frozen=True)
class Wish:
    """What the person says of a file.

    Attributes:
        preset: name of a published network.
        architecture: a name of `MODELS`. parameters: some of its parameters.
        mean, std: the normalisation, of each channel or of all, for pixels in [0, 1].
    """

    preset: str | None = None
    architecture: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None

    @property
    def scale(self) -> Normalisation | None:
        """The normalisation that the person states, apart or among the parameters.

        Raises:
            InputError: a mean without a std, or the reverse.
        """
        mean, std = (
            _row(self.parameters.get(name) if value is None else value)
            for name, value in (("mean", self.mean), ("std", self.std))
        )
        if (mean is None) != (std is None):
            raise InputError("mean and std belong together: expected both, got only one of them")
        return None if mean is None or std is None else (mean, std)


def wish_of(
    preset: str | None,
    architecture: str | None,
    parameters: Mapping[str, Any],
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
) -> Wish:
    """Return what the person says; "timm:resnet18" is the architecture resnet18 of timm.

    Raises:
        InputError: another library, or two architectures of it.
    """
    library, colon, name = (architecture or "").partition(":")
    if not colon:
        return Wish(preset, architecture, dict(parameters), mean, std)
    if library not in LIBRARIES:
        known = " or ".join(f"{one}:NAME" for one in LIBRARIES)
        raise InputError(
            f"architecture should be a name of list_models(), {known}, got {architecture!r}"
        )
    other = parameters.get("architecture", name)
    if other != name:
        raise InputError(f"the architecture is said to be {name} and {other}; name one of them")
    return Wish(preset, library, {**parameters, "architecture": name}, mean, std)


@dataclass(frozen=True)
class Network:
    """A network that a file is of.

    Attributes:
        architecture: a name of `MODELS`. parameters: all of its parameters.
        pixels: its normalisation and who said so; None: it has one of its own for every image.
        candidate: how the names of the file are its names; None: by `own_names`.
        fault: why no naming of other people fits; None where one does.
        notes: sentences for the card.
    """

    architecture: str
    parameters: dict[str, Any]
    pixels: PixelScale | None
    candidate: Candidate | None
    fault: InputError | None = None
    notes: tuple[str, ...] = ()


def choose_network(unwrapped: Unwrapped, wish: Wish, what: str) -> Network:
    """Return the one network that a file and the person's word leave.

    Args:
        unwrapped: the weights.
        wish: what the person says.
        what: the file's name, for the sentences.

    Raises:
        InputError: nothing fits, or several networks do; an architecture or a preset that is not
            known; nobody says how the pixels are normalised, or several say different things.
    """
    preset = None if wish.preset is None else PRESETS.get(wish.preset)
    if preset is not None and (wish.architecture or wish.parameters):
        raise InputError("a preset says the architecture and its parameters: give one or the other")
    if wish.parameters and wish.architecture is None:
        raise InputError("parameters need the architecture that they are of, got none")
    if wish.architecture is not None:
        MODELS.get(wish.architecture)
    found = _candidate(unwrapped.tensors, wish, preset, what)
    if isinstance(found, Candidate):
        notes = (found.note,) if found.note else ()
        network = Network(found.architecture, found.parameters, None, found, notes=notes)
    else:
        assert wish.architecture is not None, "without one, a fault is raised"
        values = _complete(wish.architecture, wish.parameters)
        network = Network(wish.architecture, values, None, None, fault=found)
    if preset is not None and preset.notes:
        network = replace(network, notes=(*network.notes, preset.notes))
    return _with_pixels(network, unwrapped.normalisation, preset, wish, what)


def _candidate(
    tensors: Mapping[str, Tensor], wish: Wish, preset: Preset | None, what: str
) -> Candidate | InputError:
    """Return the one candidate that is left, or why no naming fits the stated architecture."""
    try:
        found = recognise(tensors, what)
    except InputError as error:
        if wish.architecture is not None:
            return error
        raise InputError(f"{error}; if you know its architecture, name it") from None
    if preset is not None:
        return matching(found, preset, what)
    if wish.architecture is not None:
        fitting = [one for one in found if one.architecture == wish.architecture]
        if not fitting:
            others = ", ".join(dict.fromkeys(one.architecture for one in found))
            return InputError(f"{what} does not fit {wish.architecture}, but {others}")
        found = _with_parameters(fitting, wish)
    return only_candidate(found, what)


def _with_parameters(found: Sequence[Candidate], wish: Wish) -> tuple[Candidate, ...]:
    """Return the candidates with the parameters that the person states.

    What leaves no trace in the names may have a value that no candidate has; the sizes, which the
    names tell, may not: then nothing fits once the network is built.
    """
    stated = {k: v for k, v in wish.parameters.items() if k not in NORMALISATION_FIELDS}
    wanted = [(one, _complete(one.architecture, {**one.parameters, **stated})) for one in found]
    fitting = [
        one for one, values in wanted if all(values[key] == one.parameters[key] for key in stated)
    ]
    if fitting:
        return tuple(fitting)
    changed = {repr(v): replace(one, parameters=v, note="") for one, v in wanted}
    return tuple(changed.values())


def _complete(architecture: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of an architecture, as JSON values.

    Raises:
        InputError: an unknown one, or a value that it cannot have.
    """
    return MODELS.get(architecture).Parameters.create(parameters).model_dump(mode="json")


def _with_pixels(
    network: Network,
    in_file: Normalisation | None,
    preset: Preset | None,
    wish: Wish,
    what: str,
) -> Network:
    """Return the network with the normalisation that somebody states."""
    fields = MODELS.get(network.architecture).Parameters.model_fields
    if not set(SCALE_FIELDS) <= fields.keys():
        if in_file is not None or wish.scale is not None:
            raise InputError(
                f"{'the file' if in_file else 'you'} should not say mean and std, for "
                f"{network.architecture} has a normalisation of its own; got them for {what}"
            )
        return network
    stated: dict[Any, Normalisation] = {}
    if in_file is not None:
        stated["file"] = in_file
    if preset is not None and set(SCALE_FIELDS) <= preset.parameters.keys():
        stated["preset"] = (tuple(preset.parameters["mean"]), tuple(preset.parameters["std"]))
    if wish.scale is not None:
        stated["person"] = wish.scale
    values = network.parameters
    if "per_image" in wish.parameters:
        values = _complete(
            network.architecture, {**values, "per_image": wish.parameters["per_image"]}
        )
    if not stated and values.get("per_image"):
        return replace(network, parameters=values)
    pixels = agreed_scale(stated, what)
    scale = {"mean": pixels.mean, "std": pixels.std}
    values = _complete(network.architecture, {**values, **scale})
    return replace(network, parameters=values, pixels=pixels)


def agreed_scale(stated: Mapping[Any, Normalisation], what: str) -> PixelScale:
    """Return the normalisation that somebody states, and who: "file", "preset" or "person".

    Raises:
        InputError: nobody says how the pixels are normalised, or several say different things.
    """
    if not stated:
        raise InputError(
            f"Say how {what} expects its pixels: [0, 1] (mean 0, std 1), [-1, 1] (mean 0.5, std "
            "0.5), or mean and std; the file does not tell."
        )
    if not _agree(stated.values()):
        listed = "; ".join(
            PixelScale(mean=mean, std=std, said_by=who).words for who, (mean, std) in stated.items()
        )
        raise InputError(f"{what} is said to be normalised in different ways: {listed}")
    who, (mean, std) = next(iter(stated.items()))
    return PixelScale.create({"mean": mean, "std": std, "said_by": who})


def _row(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    values = value if isinstance(value, list | tuple) else [value]
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError):
        raise InputError(f"mean and std should be numbers, got {value!r}") from None


def _agree(scales: Iterable[Normalisation]) -> bool:
    """Return whether all normalisations are the same; one number stands for every channel."""
    rows = [
        [torch.tensor(part).expand(3) for part in scale if len(part) in (1, 3)] for scale in scales
    ]
    first = rows[0]
    return all(
        len(row) == len(first)
        and all(torch.allclose(a, b, atol=ROUNDED) for a, b in zip(row, first, strict=True))
        for row in rows
    )


def own_names(model: Classifier, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the names that a network gives them, as float32 where they are shorter.

    A network out of a library says through `own_key` what it calls a tensor of the library's.
    """
    own_key = getattr(model, "own_key", lambda key: key)
    state = {own_key(key): value for key, value in tensors.items()}
    for key, value in model.state_dict().items():
        if key.endswith("num_batches_tracked") and key not in state:
            state[key] = torch.zeros_like(value)
    return {
        key: value.float() if value.is_floating_point() else value for key, value in state.items()
    }
