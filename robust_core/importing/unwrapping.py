"""Finding the weights among what a training script has saved, under their bare names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robust_core.checkpoints.file import LARGEST_FILE
from robust_core.errors import InputError, brief
from robust_core.importing.layout import (
    NORMALISERS,
    SURPLUS,
    Normalisation,
    normalisation_in,
    refuse_what_is_no_network,
)
from robust_core.registry import unknown_name

KNOWN_NAMES = (
    *("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "net"),
    *("network", "weights", "last", "best"),
)
NEVER = ("optimizer", "optimiser", "D_optimizer", "schedule", "scheduler", "amp", "scaler")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "basic_net.", "backbone.")
LEAST_TENSORS = 0.9  # share of a dict's values, for it to be weights
DEEPEST = 4  # containers within each other


@dataclass(frozen=True)
class Unwrapped:
    """The weights of a network.

    Attributes:
        tensors: by their names in the network.
        path: where they stand in the file, such as "state_dict"; empty: the file is the weights.
        prefixes: what was removed from the front of the names, from the outside in.
        normalisation: mean and std that the file carries; None: it does not tell.
        surplus: names that belong to the training and not to the network, left out.
    """

    tensors: dict[str, Tensor]
    path: str
    prefixes: tuple[str, ...]
    normalisation: Normalisation | None
    surplus: tuple[str, ...]


def unwrap(values: Any, key: str | None = None, *, what: str = "the file") -> Unwrapped:
    """Return the weights among what a file holds.

    They are the values themselves, or stand in a nested dict under a name that training scripts
    use. A prefix is removed only where every name has it, those of normalisers and of parts of the
    training aside, and only from the front.

    Args:
        values: as of `open_tensors`.
        key: which weights, where there are several: a path such as "last.state_dict".
        what: the file's name, for the sentences.

    Raises:
        InputError: no weights or several sets of them; weights that stand in a parametrisation, or
            of a kind that no network here has.
    """
    found = dict(_candidates(values))
    path = _choose(values, found, key, what)
    tensors = {name: value for name, value in found[path].items() if isinstance(value, Tensor)}
    named, prefixes = _without_prefixes(tensors)
    refuse_what_is_no_network(named, what)
    normalisation, normalisers = normalisation_in(named, what)
    surplus = tuple(name for name in named if name.startswith(SURPLUS))
    kept = {n: value for n, value in named.items() if n not in normalisers and n not in surplus}
    if not kept:
        raise InputError(f"{what} holds no weights of a network")
    _check_kinds(kept, what)
    return Unwrapped(kept, path, prefixes, normalisation, surplus)


def _candidates(values: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, dict]]:
    """Yield every dict that is mostly tensors, by its path, from the outside in."""
    if not isinstance(values, dict) or not values or depth > DEEPEST:
        return
    named = {name: value for name, value in values.items() if isinstance(name, str)}
    num_tensors = sum(isinstance(value, Tensor) for value in named.values())
    if num_tensors >= LEAST_TENSORS * len(values):
        yield path, named
        return
    for name, value in named.items():
        if name not in NEVER:
            yield from _candidates(value, f"{path}.{name}" if path else name, depth + 1)


def sets_of_weights(values: Any) -> tuple[str, ...]:
    """Return the paths of the sets of weights of which somebody must choose one; () if none."""
    known, several = _meant(dict(_candidates(values)))
    return () if known else tuple(several)


def _meant(found: Mapping[str, dict]) -> tuple[bool, list[str]]:
    """Return whether it is known which weights are meant, and the paths that they may stand at."""
    known = [path for path in found if not path or set(path.split(".")) <= set(KNOWN_NAMES)]
    return len(known) == 1, known or list(found)


def _choose(values: Any, found: Mapping[str, dict], key: str | None, what: str) -> str:
    """Return the path of the weights that are meant."""
    if key is not None:
        if key not in found:
            raise unknown_name(f"set of weights in {what}", key, list(found))
        return key
    if isinstance(values, dict) and {"param_groups", "state"} <= values.keys():
        raise InputError(f"{what} holds an optimiser's state, not a network.")
    known, several = _meant(found)
    if known:
        return several[0]
    if several:
        sets = f"{len(several)} sets of weights" if len(several) > 1 else "weights"
        raise InputError(
            f"{what} holds {sets} ({', '.join(several[:20])}); say which one with --key."
        )
    if isinstance(values, dict):
        got = f"a dict of {brief(', '.join(map(str, list(values)[:5]))) or 'nothing'}"
    else:
        got = f"a {type(values).__name__}"
    raise InputError(f"{what} should hold a state dict (names and tensors), got {got}")


def _without_prefixes(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors without the prefixes that all of them share, and these prefixes."""
    named, removed = dict(tensors), []
    while True:
        rest = [name for name in named if not _is_aside(name)]
        prefix = next((p for p in PREFIXES if rest and all(n.startswith(p) for n in rest)), None)
        if prefix is None:
            return named, tuple(removed)
        removed.append(prefix)
        named = {name.removeprefix(prefix): value for name, value in named.items()}


def _is_aside(name: str) -> bool:
    """Return whether a tensor may stand outside the network's own prefix."""
    normalisers = {name for pair in NORMALISERS for name in pair}
    return name.startswith(SURPLUS) or name in normalisers


def _check_kinds(tensors: Mapping[str, Tensor], what: str) -> None:
    """Raise unless the tensors are dense numbers of a sensible size."""
    total = 0
    for name, value in tensors.items():
        if value.layout is not torch.strided or value.is_meta or value.is_quantized:
            raise InputError(f"{what} should hold dense tensors of numbers, but {name} is not one")
        if value.is_complex():
            raise InputError(f"{what} should hold real numbers, but {name} is complex")
        total += value.numel() * value.element_size()
    if total > LARGEST_FILE:
        raise InputError(
            f"{what} declares {total / (1 << 30):.3g} GiB of tensors, at most "
            f"{LARGEST_FILE / (1 << 30):.3g} GiB are opened"
        )
