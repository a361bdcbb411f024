"""Training methods, one file a method; each registers itself in `METHODS`."""

from robust_core.methods.base import METHODS


def list_methods() -> list[str]:
    """Return the names of all training methods, sorted."""
    return METHODS.names()
