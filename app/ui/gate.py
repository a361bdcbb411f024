"""The gate in front of heavy work: one computation at a time, and only what is still wanted.

Torch computes for all sessions of the dashboard in one process. Whoever holds the gate lets a
waiting computation pass between two of its steps, and ends once its own session wants another.
"""

import atexit
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st
import torch

from robust_core.acceleration.memory import keep_freed_memory

NEWEST_KEY = "gate.newest"
WAITING_INTERVAL = 0.05  # seconds between two looks whether waiting work is still wanted
SHORTEST_TURN = 0.2  # seconds that a computation may keep the gate while another one waits

Check = Callable[[], None]


class Superseded(Exception):  # noqa: N818 - not an error: a newer request took over
    """The session asked for something else while this computation ran."""


class Newest:
    """Which run of a session's script is the newest; one instance a session."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def begin(self) -> Check:
        """Announce work of the calling thread, in which a script runs.

        Returns:
            A check that raises `Superseded` once another thread of the session announced work.
        """
        mine = self._thread = threading.current_thread()

        def check() -> None:
            if self._thread is not mine:
                raise Superseded

        return check


def newest_of_session() -> Newest:
    """Return this session's `Newest`."""
    if NEWEST_KEY not in st.session_state:
        st.session_state[NEWEST_KEY] = Newest()
    return st.session_state[NEWEST_KEY]


class _Turn:
    """A thread's place at the gate: whether it may compute, and for how long it has, in seconds."""

    def __init__(self, used: float) -> None:
        self.open = threading.Event()
        self.used, self.since = used, 0.0

    def total(self) -> float:
        """Return the seconds computed so far; for the thread that computes."""
        return self.used + time.monotonic() - self.since


class Gate:
    """Lets one thread compute at a time: whoever has computed least, the first of several.

    So short work, such as an attack on one image, does not wait for long work that began before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Turn] = []  # in the order in which they came
        self._busy = False
        self._mine = threading.local()  # `turn` of this thread while it computes

    @contextmanager
    def hold(self, check: Check | None = None) -> Iterator[None]:
        """Wait for the gate and hold it; a thread that already holds it just goes on.

        Args:
            check: called while waiting; an exception it raises ends the wait.
        """
        if self._turn is not None:
            yield
            return
        self._enter(0.0, check)
        try:
            yield
        finally:
            self._leave()

    def give_way(self, check: Check | None = None) -> None:
        """Let those that have computed less compute, between two steps of the holder."""
        turn = self._turn
        if turn is None or time.monotonic() - turn.since < SHORTEST_TURN:
            return
        used = turn.total()
        with self._lock:
            alone = not any(other.used < used for other in self._waiting)
        if not alone:
            self._leave()
            self._enter(used, check)

    @property
    def _turn(self) -> _Turn | None:
        return getattr(self._mine, "turn", None)

    def _enter(self, used: float, check: Check | None) -> None:
        turn = _Turn(used)
        with self._lock:
            self._waiting.append(turn)
            self._open_next()
        try:
            while not turn.open.wait(WAITING_INTERVAL):
                if check is not None:
                    check()
        except BaseException:
            with self._lock:
                if turn.open.is_set():  # it was let in meanwhile
                    self._busy = False
                    self._open_next()
                else:
                    self._waiting.remove(turn)
            raise
        turn.since = time.monotonic()
        self._mine.turn = turn

    def _leave(self) -> None:
        turn, self._mine.turn = self._turn, None
        if turn is not None:  # it is None where a check ended the wait for another turn
            with self._lock:
                self._busy = False
                self._open_next()

    def _open_next(self) -> None:
        """Let the next one in if nobody computes; the lock is held."""
        if self._waiting and not self._busy:
            turn = min(self._waiting, key=lambda one: one.used)
            self._waiting.remove(turn)
            self._busy = True
            turn.open.set()


@st.cache_resource
def the_gate() -> Gate:
    """Return the gate of this process."""
    # pages attack single images: a second thread gains nothing there, and waits on a busy machine
    torch.set_num_threads(1)
    keep_freed_memory()
    return Gate()


@st.cache_resource(max_entries=1, show_spinner=False)
def _spare_libraries(num_modules: int) -> None:
    """Take what lives now out of the garbage collector's sight, once more after new imports.

    Streamlit collects all generations after every run of a script. For the half million objects of
    the imported libraries, none of which is garbage, that holds up every session for 0.13 s.
    """
    gc.collect()
    gc.freeze()
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)  # once: at the end, some libraries take what is left for a leak


@contextmanager
def heavy_work(check: Check | None = None) -> Iterator[None]:
    """Wait for the process-wide gate of heavy torch work and hold it.

    Args:
        check: called while waiting; an exception it raises (`Superseded`) ends the wait.
    """
    gate = the_gate()
    _spare_libraries(len(sys.modules))
    with gate.hold(check):
        yield
