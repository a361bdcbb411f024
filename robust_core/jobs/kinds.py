"""The kinds of jobs: a package that has a module `directory` registers its own there."""

from typing import Any

from robust_core.jobs.directory import WorkDirectory
from robust_core.registry import Registry

KINDS: Registry[type[WorkDirectory[Any, Any]]] = Registry(
    "kind of job", "robust_core", module="directory"
)


def kinds() -> list[type[WorkDirectory[Any, Any]]]:
    """Return the directories of all kinds of jobs."""
    return [KINDS.get(name) for name in KINDS.names()]
