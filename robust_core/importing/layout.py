"""Which of our networks a dict of tensors from elsewhere fits, told by its names and shapes."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robust_core.errors import InputError
from robust_core.importing.namings import NAMINGS, Naming, Reading, Seen
from robust_core.models.base import MODELS, create_model

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel

ANY_SIDE = 32  # of the images of a network whose weights do not depend on it
FIRST_LAYERS = ("trunk.stem", "trunk.stem.conv", "layers.0")
COUNTER = "num_batches_tracked"
SURPLUS = ("attacker.", "discriminator.", "sub_block1.", "n_averaged")  # beginnings of keys
NORMALISERS = (
    *(("normalizer.new_mean", "normalizer.new_std"), ("normalize.mean", "normalize.std")),
    *(("mean", "std"), ("mu", "sigma")),
)
WRAPPERS = {  # a part of a key, what makes it, what takes it away
    "parametrizations": ("a parametrisation", "parametrize.remove_parametrizations"),
    "weight_g": ("weight normalisation", "remove_weight_norm"),
    "weight_u": ("spectral normalisation", "remove_spectral_norm"),
    "weight_mask": ("pruning", "prune.remove"),
}
OPTIMISER = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg"}
WORDS = {
    "raw": "shortcuts take the raw input",
    "activated": "shortcuts take the activated input",
    "relu": "the activation is ReLU",
    "silu": "the activation is SiLU (Swish)",
    "gelu": "the activation is GELU",
    "softplus": "the activation is softplus",
    "linear": "the head is linear",
    "cosine": "the head gives cosines",
}


@dataclass(frozen=True)
class Candidate:
    """A network of ours whose names and shapes the tensors of a file fit exactly.

    Attributes:
        architecture: a name of `MODELS`.
        parameters: all of its parameters, ready for JSON; mean and std are those of the file, or
            else our defaults, which say nothing about what the network expects.
        image_channels: C. num_classes: K.
        rename: our key for each key of the file that is used.
        surplus: keys of the file that are left out; of known kinds only. Those of mean and std are
            neither here nor in `rename`.
        normalisation: mean and std found in the file; None: it does not tell.
        note: one sentence: what distinguishes it from its twins.
        layout: whose naming it is, such as "wide_resnet (TRADES)".
        image_side: height and width of its images if its weights fix them, else None.
    """

    architecture: str
    parameters: dict[str, Any]
    image_channels: int
    num_classes: int
    rename: dict[str, str]
    surplus: tuple[str, ...]
    normalisation: Normalisation | None
    note: str
    layout: str
    image_side: int | None = None


def recognise(tensors: Mapping[str, Tensor], source: str = "the file") -> tuple[Candidate, ...]:
    """Return every network of ours that a state dict fits exactly, the usual ones first.

    Twins, which have the same names and shapes and compute something else, are all returned: what
    no name tells, the person or a preset must say.

    Args:
        tensors: a state dict without prefixes such as "module.".
        source: what to call it in an error.

    Raises:
        InputError: no network fits; the sentence says what is missing or too much.
    """
    refuse_what_is_no_network(tensors, source)
    normalisation, normalisers = normalisation_in(tensors, source)
    surplus = {key for key in tensors if key.startswith(SURPLUS)}
    shapes = {
        key: tuple(tensor.shape)
        for key, tensor in tensors.items()
        if key not in surplus and key not in normalisers
    }
    naming = next((naming for naming in NAMINGS if naming.may_be(shapes)), None)
    if naming is None:
        known = ", ".join(naming.name for naming in NAMINGS)
        raise InputError(
            f"{source} has {_counted(len(tensors))}, first {next(iter(tensors))}, which are named "
            f"like those of no network here: {known}"
        )
    try:
        return tuple(_candidates(naming, shapes, tuple(sorted(surplus)), normalisation))
    except InputError as misfit:
        raise InputError(f"{source} {misfit}") from None


def state_of(candidate: Candidate, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of the candidate's network, for a strict `load_state_dict`.

    Floating-point numbers become float32; counts of batches that the file lacks are 0.
    """
    state = {}
    for theirs, ours in candidate.rename.items():
        tensor = tensors[theirs].detach()
        state[ours] = tensor.float() if tensor.is_floating_point() else tensor
    for key in [key for key in state if key.endswith(".running_mean")]:
        state.setdefault(f"{key.rpartition('.')[0]}.{COUNTER}", torch.tensor(0))
    return state


def choices(candidates: Sequence[Candidate]) -> dict[str, tuple[Any, ...]]:
    """Return the parameters in which candidates differ, each with its values, the usual first."""
    fields = dict.fromkeys(name for c in candidates for name in c.parameters)
    values = {
        name: tuple({repr(v): v for c in candidates for v in [c.parameters.get(name)]}.values())
        for name in fields
    }
    return {name: found for name, found in values.items() if len(found) > 1}


def only_candidate(candidates: Sequence[Candidate], source: str = "the file") -> Candidate:
    """Return the candidate if there is only one.

    Raises:
        InputError: there are several; the sentence says in what they differ.
    """
    if len(candidates) == 1:
        return candidates[0]
    names = ", ".join(dict.fromkeys(c.architecture for c in candidates))
    ways = "; ".join(
        f"{name} {', '.join(map(str, values))}" for name, values in choices(candidates).items()
    )
    raise InputError(
        f"{source} fits {len(candidates)} variants of {names}, which compute differently with the "
        f"same names ({ways}); say which, or which training code it is from"
    )


def _candidates(
    naming: Naming,
    shapes: Mapping[str, tuple[int, ...]],
    surplus: tuple[str, ...],
    normalisation: Normalisation | None,
) -> Iterator[Candidate]:
    """Yield all networks of a naming; errors are sentences without their subject."""
    seen = Seen(naming, shapes)
    try:
        reading = naming.read(seen)
        first = next(layer for layer in FIRST_LAYERS if layer in naming.outside)
        channels = seen.shape(f"{first}.weight", 4)[1]
        num_classes = seen.shape("classifier.weight", 2)[0]
    except InputError as error:
        raise InputError(f"{error}; is it another network?") from None
    values = {**naming.fixed, **reading.parameters}
    if normalisation is not None:
        values |= dict(zip(("mean", "std"), normalisation, strict=True))
    side = reading.side or ANY_SIDE
    try:
        with torch.device("meta"):
            model = create_model(reading.architecture, (channels, side, side), num_classes, values)
    except InputError as error:
        raise InputError(f"looks like a {naming.name}, but {error}") from None
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    rename = _rename(naming, reading, expected, shapes)
    twins = {
        name: sorted(options, key=lambda value, name=name: value != reading.usual.get(name))
        for name, options in naming.twins.items()
        if name not in reading.parameters
    }
    for chosen in itertools.product(*twins.values()):
        own = {**values, **dict(zip(twins, chosen, strict=True))}
        complete = MODELS.get(reading.architecture).Parameters.create(own)
        yield Candidate(
            architecture=reading.architecture,
            parameters=complete.model_dump(mode="json"),
            image_channels=channels,
            num_classes=num_classes,
            rename=rename,
            surplus=surplus,
            normalisation=normalisation,
            note=_sentence(WORDS[value] for value in chosen),
            layout=naming.name,
            image_side=reading.side,
        )


def _rename(
    naming: Naming,
    reading: Reading,
    expected: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, str]:
    """Return our key for each of theirs; raise unless names and shapes are exactly ours."""
    table = {naming.theirs(ours, reading.group_sizes): ours for ours in expected}
    missing = [key for key in table if key not in shapes and not key.endswith(COUNTER)]
    extra = [key for key in shapes if key not in table]
    other = [key for key in table if key in shapes and shapes[key] != expected[table[key]]]
    what = reading.architecture
    if missing:
        raise InputError(
            f"lacks {_counted(len(missing))} of {what}, first {missing[0]}; is it another depth "
            "or width?"
        )
    if extra:
        raise InputError(
            f"has {_counted(len(extra))} that {what} does not use, first {extra[0]}; nothing was "
            "imported"
        )
    if other:
        found, ours = (
            "x".join(map(str, shape)) or "a single number"
            for shape in (shapes[other[0]], expected[table[other[0]]])
        )
        raise InputError(
            f"has {other[0]} of shape {found}, where {what} with these sizes has {ours}; is it "
            "another depth or width?"
        )
    return {theirs: ours for theirs, ours in table.items() if theirs in shapes}


def refuse_what_is_no_network(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise `InputError` if tensors are those of an optimiser, or stand in a parametrisation."""
    if not tensors:
        raise InputError(f"{source} holds no tensors")
    if any(key.rpartition(".")[2] in OPTIMISER for key in tensors):
        raise InputError(f"{source} holds an optimiser's state, not a network")
    for part, (wrapper, function) in WRAPPERS.items():
        key = next((key for key in tensors if part in key.split(".")), None)
        if key is not None:
            raise InputError(
                f"{source} was trained with {wrapper} ({key}); fold it into the weights first "
                f"(torch.nn.utils.{function})"
            )


def normalisation_in(
    tensors: Mapping[str, Tensor], source: str
) -> tuple[Normalisation | None, tuple[str, str] | tuple[()]]:
    """Return the mean and std that a file brings, and their keys."""
    keys = next((pair for pair in NORMALISERS if all(key in tensors for key in pair)), None)
    if keys is None:
        return None, ()
    mean, std = (_numbers(tensors[key]) for key in keys)
    if len(mean) != len(std) or len(mean) not in (1, 3):
        raise InputError(
            f"{source} should have one or three numbers in {keys[0]} and {keys[1]}, got "
            f"{len(mean)} and {len(std)}"
        )
    return (mean, std), keys


def _numbers(tensor: Tensor) -> tuple[float, ...]:
    """Return the numbers of a float32 tensor with as few digits as tell them apart."""
    values = tensor.detach().float().flatten().cpu().numpy()
    return tuple(float(np.format_float_positional(value, unique=True)) for value in values)


def _counted(number: int) -> str:
    return f"{number} tensor{'' if number == 1 else 's'}"


def _sentence(parts: Iterable[str]) -> str:
    text = ", ".join(parts) or "no other network here has these names and shapes"
    return f"{text[0].upper()}{text[1:]}."
