"""A cache for all sessions whose values leave memory when nobody has used them for a while."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from robust_core.acceleration.memory import return_freed_memory

IDLE = 600.0  # seconds without use after which a value leaves memory
T = TypeVar("T")


@dataclass
class _Entry:
    making: threading.Lock = field(default_factory=threading.Lock)
    values: list[Any] = field(default_factory=list)  # one, when it is made
    used: float = 0.0


class IdleCache(Generic[T]):
    """Values by key: at most `most`, each until it was not asked for during `idle` seconds.

    A value that somebody still holds lives on with them; the cache only lets go of it.
    """

    def __init__(
        self, most: int, idle: float = IDLE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start empty.

        Args:
            most: values kept at once; beyond, the one that was not asked for longest goes.
            idle: seconds without use.
            clock: tells the time in seconds.
        """
        self._most, self._idle, self._clock = most, idle, clock
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __len__(self) -> int:
        """Return how many values are in memory."""
        return len(self._entries)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, made where it is not there; by one session for all."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.used = self._clock()
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
            self._wait()
        with entry.making:
            if not entry.values:
                entry.values.append(make())
            return entry.values[0]

    def sweep(self) -> None:
        """Let go of every value that was not asked for during `idle` seconds."""
        with self._lock:
            self._timer = None
            before = len(self._entries)
            oldest = self._clock() - self._idle
            for key in [key for key, one in self._entries.items() if one.used <= oldest]:
                del self._entries[key]
            gone = len(self._entries) < before
            if self._entries:
                self._wait()
        if gone:
            return_freed_memory()

    def _wait(self) -> None:
        """See to it that there will be a sweep; the lock is held."""
        if self._timer is None:
            self._timer = threading.Timer(self._idle, self.sweep)
            self._timer.daemon = True
            self._timer.start()
