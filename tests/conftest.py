"""What holds for every test."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test trains, evaluates or imports never lands among a person's own things."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUST_CHECKPOINTS", str(tmp_path_factory.mktemp("checkpoints")))
        yield
