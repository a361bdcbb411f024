"""Signs of life of a working process, from a thread of its own."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERVAL = 2.0  # seconds


@contextmanager
def heartbeat(beat: Callable[[], None], interval: float = INTERVAL) -> Iterator[None]:
    """Call `beat` at once and then every `interval` seconds, from a thread of this process."""
    ended = threading.Event()

    def keep_beating() -> None:
        while not ended.wait(interval):
            try:
                beat()
            except OSError:
                logging.getLogger(__name__).warning("the heartbeat cannot be written")

    beat()
    thread = threading.Thread(target=keep_beating, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
