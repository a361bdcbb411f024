"""Published networks whose files do not tell all: what their code says of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from robust_core.importing.layout import Candidate


@dataclass(frozen=True)
class Preset:
    """What the code of a published network says about its weights.

    Attributes:
        name: such as "trades-wrn-34-10".
        origin: citation and repository.
        data: name of the data set: cifar10, cifar100, mnist, svhn.
        architecture: a name of `MODELS`.
        parameters: those of the architecture that the code fixes, mean and std among them; what is
            left out is read from the file, or is our default.
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


PRESETS: dict[str, Preset] = {}


def matching(candidates: Sequence[Candidate], preset: Preset) -> Candidate:
    """Return the one candidate that a preset names, with the preset's mean and std.

    Raises:
        InputError: none fits; the sentence says how the file differs.
    """
    raise NotImplementedError
