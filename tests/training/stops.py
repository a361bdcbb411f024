"""Ends a training where a test wants it to end."""

from collections.abc import Callable


def stop_at_call(limit: int) -> Callable[[], bool]:
    """Return a `should_stop` that says yes from its call number `limit` on."""
    count = iter(range(10**9))
    return lambda: next(count) >= limit
