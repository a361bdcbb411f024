"""Attacks as evaluations offer them: each declares its own, with a title and a place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class AttackPreset:
    """A registered attack with parameters that evaluations offer, but for its threat model.

    Attributes:
        title: what a list of offers calls it: "PGD-50 x 5".
        place: in that list, where smaller ones come first.
        parameters: those that differ from the defaults.
    """

    title: str
    place: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
