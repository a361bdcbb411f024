"""The gate: one computation at a time, in order, and only what its session still wants."""

import threading
import time

import pytest

from app.ui import gate
from app.ui.gate import Gate, Newest, Superseded


def in_thread(work) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_heavy_work_is_done_by_one_thread_at_a_time():
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with gate.heavy_work():
            inside += 1
            most = max(most, inside)
            threading.Event().wait(0.01)
            inside -= 1

    threads = [in_thread(work) for _ in range(5)]
    for thread in threads:
        thread.join()
    assert most == 1


def test_who_holds_the_gate_may_ask_for_it_again():
    door = Gate()
    with door.hold(), door.hold():
        pass
    with door.hold(lambda: pytest.fail("nobody holds it")):
        pass


def test_newer_work_of_the_session_ends_older_work_but_not_its_own_parts():
    newest = Newest()
    check = newest.begin()
    part = newest.begin()
    check()
    part()
    in_thread(newest.begin).join()
    for older in (check, part):
        with pytest.raises(Superseded):
            older()


def test_a_wait_for_the_gate_ends_when_newer_work_comes_and_leaves_no_place_in_the_queue():
    door, ended = Gate(), []

    def refuse() -> None:
        raise Superseded

    def wait() -> None:
        try:
            with door.hold(refuse):
                pass
        except Superseded:
            ended.append(True)

    with door.hold():
        in_thread(wait).join(timeout=5)
    assert ended == [True]
    with door.hold():
        pass


def test_long_work_lets_short_work_pass_between_two_of_its_steps(monkeypatch):
    monkeypatch.setattr(gate, "SHORTEST_TURN", 0.0)
    door, order = Gate(), []
    waiting = threading.Event()

    def short() -> None:
        waiting.set()
        with door.hold():
            order.append("short")

    with door.hold():
        thread = in_thread(short)
        waiting.wait(5)
        for _ in range(200):  # until it stands in the queue
            door.give_way()
            if order:
                break
            time.sleep(0.01)
        order.append("long")
    thread.join(5)
    assert order == ["short", "long"]


def test_work_that_is_superseded_while_it_gives_way_leaves_the_gate_free(monkeypatch):
    monkeypatch.setattr(gate, "SHORTEST_TURN", 0.0)
    door = Gate()
    inside, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with door.hold():
            inside.set()
            go_on.wait(5)

    def refuse() -> None:
        raise Superseded

    def give_way() -> None:
        with door.hold():
            in_thread(other)
            while not inside.is_set():
                door.give_way(refuse)

    with pytest.raises(Superseded):
        give_way()
    go_on.set()
    with door.hold():
        pass


def test_who_has_computed_least_goes_first(monkeypatch):
    monkeypatch.setattr(gate, "SHORTEST_TURN", 0.0)
    door, order = Gate(), []
    started, queued = threading.Event(), threading.Event()

    def long_work() -> None:
        with door.hold():
            started.set()
            queued.wait(5)
            time.sleep(0.05)
            door.give_way()  # to both short ones, in their order
            order.append("long")

    def short_work(name: str) -> None:
        with door.hold():
            order.append(name)

    threads = [in_thread(long_work)]
    started.wait(5)
    for name in ("first", "second"):
        threads.append(in_thread(lambda name=name: short_work(name)))
        while len(door._waiting) < len(threads) - 1:
            time.sleep(0.001)
    queued.set()
    for thread in threads:
        thread.join(5)
    assert order == ["first", "second", "long"]
