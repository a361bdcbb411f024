"""Work in a process of its own, known by its directory: start, stop, resume, delete, find, list."""

from robust_core.jobs.control import (
    before,
    delete,
    find,
    resume,
    start,
    start_waiting,
    stop,
    summaries,
)

__all__ = [
    "before",
    "delete",
    "find",
    "resume",
    "start",
    "start_waiting",
    "stop",
    "summaries",
]
