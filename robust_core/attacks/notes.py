"""What an attack has to say about its result besides the images: a limit that cut it short."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LISTENER: ContextVar[list[str] | None] = ContextVar("attack_notes", default=None)


def note(sentence: str) -> None:
    """Tell whoever listens, each sentence once; where nobody does, warn."""
    listener = _LISTENER.get()
    if listener is None:
        warnings.warn(sentence, stacklevel=2)
    elif sentence not in listener:
        listener.append(sentence)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect the notes of the attacks made meanwhile, in this thread, in the list yielded."""
    collected: list[str] = []
    token = _LISTENER.set(collected)
    try:
        yield collected
    finally:
        _LISTENER.reset(token)
