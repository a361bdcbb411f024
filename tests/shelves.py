"""A shelf of a test's own."""

from pathlib import Path

import pytest

from robust_core import paths


def use_only(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make `folder` the place of shipped models and of a person's: there is nothing elsewhere."""
    patch.setenv("ROBUST_CHECKPOINTS", str(folder))
    patch.setattr(paths, "SHIPPED", folder)
