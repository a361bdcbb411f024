"""Which of our networks a dict of tensors from elsewhere fits, told by its names and shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel


@dataclass(frozen=True)
class Candidate:
    """A network of ours whose names and shapes the tensors of a file fit exactly.

    Attributes:
        architecture: a name of `MODELS`.
        parameters: all of its parameters, ready for JSON; mean and std are those of the file, or
            else our defaults, which say nothing about what the network expects.
        image_channels: C. num_classes: K.
        rename: our key for each key of the file that is used.
        surplus: keys of the file that are left out; of known kinds only.
        normalisation: mean and std found in the file; None: it does not tell.
        note: one sentence: what distinguishes it from its twins.
        layout: whose naming it is, such as "wide_resnet (TRADES)".
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


def recognise(tensors: Mapping[str, Tensor]) -> tuple[Candidate, ...]:
    """Return every network of ours that a state dict fits exactly.

    Twins, which have the same names and shapes and compute something else, are all returned: what
    no name tells, the person or a preset must say.

    Raises:
        InputError: no network fits; the sentence says what is missing or too much.
    """
    raise NotImplementedError


def state_of(candidate: Candidate, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of the candidate's network, for a strict `load_state_dict`.

    Half precision becomes float32; counts of batches that the file lacks are 0.
    """
    raise NotImplementedError
