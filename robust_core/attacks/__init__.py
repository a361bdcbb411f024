"""Attacks, one file a family; each registers itself in `ATTACKS`."""

from robust_core.attacks.base import ATTACKS


def list_attacks() -> list[str]:
    """Return the names of all attacks, sorted."""
    return ATTACKS.names()
