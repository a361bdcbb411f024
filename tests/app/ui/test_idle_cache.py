"""What nobody uses leaves memory; what somebody uses is made once for all."""

import gc
import threading
import time
import weakref

import pytest

from app.ui.idle_cache import IdleCache


class Value:
    pass


def test_a_value_leaves_memory_when_nobody_used_it_for_a_while() -> None:
    now = [0.0]
    cache = IdleCache(8, 10.0, lambda: now[0])
    first, second = (weakref.ref(cache.get(key, Value)) for key in "ab")
    now[0] = 9.0
    assert cache.get("a", Value) is first()
    now[0] = 12.0
    cache.sweep()
    gc.collect()
    assert first() is not None and second() is None and len(cache) == 1
    now[0] = 19.0
    cache.sweep()
    assert first() is None and len(cache) == 0


def test_it_sweeps_by_itself() -> None:
    cache = IdleCache(8, 0.05)
    cache.get("a", Value)
    end = time.monotonic() + 20
    while len(cache) and time.monotonic() < end:
        time.sleep(0.01)
    assert len(cache) == 0


def test_the_one_not_asked_for_longest_goes_when_there_are_too_many() -> None:
    cache, made = IdleCache(2), []
    for key in "abacb":
        cache.get(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c", "b"]


def test_sessions_that_ask_at_once_get_the_same() -> None:
    cache, made, found = IdleCache(8), [], []

    def make() -> Value:
        made.append(1)
        time.sleep(0.05)
        return Value()

    threads = [threading.Thread(target=lambda: found.append(cache.get("a", make))) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len({id(one) for one in found}) == 1


def test_what_cannot_be_made_is_tried_again() -> None:
    cache = IdleCache(8)

    def fail() -> Value:
        raise ValueError("not now")

    with pytest.raises(ValueError, match="not now"):
        cache.get("a", fail)
    assert isinstance(cache.get("a", Value), Value)
