from pathlib import Path

import pytest

from tests.pretended import pretend_processes
from tests.shelves import use_only


@pytest.fixture(autouse=True)
def no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs live in a folder of the test's own and never get a process."""
    use_only(tmp_path, monkeypatch)
    pretend_processes(monkeypatch)
    monkeypatch.setattr("app.ui.job_controls.DOUBLE_CLICK", 0.0)
