"""Attacks, one file a family; each registers itself in `ATTACKS`."""

from robust_core.attacks.base import ATTACKS, create_attack

__all__ = ["create_attack", "list_attacks"]


def list_attacks() -> list[str]:
    """Return the names of all attacks, sorted."""
    return ATTACKS.names()
