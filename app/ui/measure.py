"""Costly work of the pages: its cost, its button, its progress, and its result, kept for all.

A page names what it wants to know and everything that the answer depends on, and hands over a
function that finds it:

    found = measure(
        "compare.transfer", (infos, attack, number), lambda run: ..., cost=cost_of(infos, passes),
        label="Measure transfer",
    )

What was measured lately is returned at once, to every session. What is cheap is computed at every
change of a control; what is not waits for its button. All of it waits for the one gate.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor, nn

from app.ui import gate, models
from app.ui.plain import in_markdown
from app.ui.units import count_words, duration_words, percent
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.batch import watched

LIVE_SECONDS = 1.0  # work estimated below this runs at every change of a control
TIDY = 10  # images: a first look is at a multiple of it
PROGRESS_INTERVAL = 0.1  # seconds between two updates of the progress bar
MOST_RESULTS = 64  # kept of each kind of work

R = TypeVar("R")
Width = Literal["content", "stretch"]
_AT_ONCE: ContextVar[bool] = ContextVar("at_once", default=False)


@dataclass(frozen=True)
class Cost:
    """What work takes: passes of one image, and seconds on this machine.

    kind: of the passes, in the singular.
    """

    passes: int
    seconds: float
    kind: str = "forward-backward pass"

    def words(self) -> str:
        """Return both in a sentence."""
        return (
            f"Cost: {count_words(self.passes, self.kind)} of one image, "
            f"{duration_words(self.seconds)} by a measurement here."
        )


def cost_of(infos: Sequence[CheckpointInfo], passes: int, batch_size: int = 1) -> Cost:
    """Return what `passes` passes of one image through each of some checkpoints take.

    Args:
        infos: the checkpoints; one that is listed twice counts twice.
        passes: forward-backward passes of one image through each.
        batch_size: images that go through the network together.
    """
    seconds = sum(passes * models.seconds_per_pass(info, batch_size) for info in infos)
    return Cost(passes * len(infos), seconds)


class Run:
    """What running work is given: whether it should go on, and where to tell its progress."""

    def __init__(self, words: str, place: DeltaGenerator) -> None:
        """Announce the work as the newest of its session.

        Args:
            words: what is being done.
            place: empty element for the progress bar.
        """
        self._words, self._place = words, place
        self._newest = gate.newest_of_session().begin()
        self._gate = gate.the_gate()
        self._shown = time.perf_counter()

    def check(self) -> None:
        """Between two steps: let other sessions pass the gate, and end unwanted work.

        Raises:
            Superseded: the session wants something else by now.
        """
        self._newest()
        self._gate.give_way(self._newest)

    def progress(self, share: float, words: str | None = None) -> None:
        """Tell which share of the work is done, in [0, 1], and what is being done now."""
        self.check()
        self._words = words or self._words
        if time.perf_counter() - self._shown > PROGRESS_INTERVAL:
            self._shown = time.perf_counter()
            self._place.progress(min(share, 1.0), f"{in_markdown(self._words)}: {percent(share)}")

    def done(self, number: int, total: int) -> None:
        """Tell how many of all parts of the work are done."""
        self.progress(number / max(total, 1))

    def interruptible(self, model: nn.Module) -> nn.Module:
        """Return the model, checking before each of its passes."""
        return watched(model, self.check)


Work = Callable[[Run], R]


def measure(
    name: str,
    key: tuple,
    work: Work[R],
    *,
    cost: Cost | None = None,
    label: str = "Measure",
    teaser: str = "",
    words: str = "Measuring",
    live_seconds: float = LIVE_SECONDS,
) -> R | None:
    """Return what `work` finds; where it costs much, behind a button, and None until then.

    Args:
        name: of the kind of work, "page.what".
        key: everything that the result depends on: checkpoints, images, attacks, numbers, words.
        work: called with its `Run` while the gate is held.
        cost: None: always at once.
        label: of the button.
        teaser: what the button will show.
        words: what is being done, for the progress bar.
        live_seconds: work that takes no longer needs no button.

    Raises:
        InputError: as `work` says.
    """
    found = known(name, key)
    if found is not None:
        return found
    place = st.empty()
    with place.container():
        if not ask(label, cost, key=name, live_seconds=live_seconds):
            if teaser:
                st.info(teaser)
            return None
    found = run(name, key, work, words)
    place.empty()
    return found


@contextmanager
def at_once() -> Iterator[None]:
    """Within this, costly work needs no button: something else has asked for it."""
    token = _AT_ONCE.set(True)
    try:
        yield
    finally:
        _AT_ONCE.reset(token)


def ask(
    label: str,
    cost: Cost | None,
    *,
    key: str,
    live_seconds: float = LIVE_SECONDS,
    always: bool = False,
    width: Width = "content",
) -> bool:
    """Draw a button and what it costs, unless the work is cheap; return whether to begin now.

    Args:
        label: of the button.
        cost: of the work; None: nothing worth a button.
        key: of the button, "page.what".
        live_seconds: work that takes no longer begins without the button.
        always: draw the button for cheap work, too.
        width: of the button; "stretch" in a column of controls.
    """
    live = cost is None or cost.seconds <= live_seconds or _AT_ONCE.get()
    if cost is None or (live and not always):
        return True
    icon = ":material/bolt:"
    pressed = st.button(label, type="primary", icon=icon, key=f"{key}.run", width=width)
    when = " Runs at once when you move a control." if live else ""
    st.caption(cost.words() + when)
    return live or pressed


def affordable(cost: Cost, number: int, fewest: int) -> int:
    """Return on how many images work runs without a button: all, fewer, or 0 of a slow model.

    Args:
        cost: of the work on all images.
        number: of all images.
        fewest: images that are worth a look.
    """
    if cost.seconds <= LIVE_SECONDS:
        return number
    few = int(number * LIVE_SECONDS / cost.seconds) // TIDY * TIDY
    return few if few >= fewest else 0


def known(name: str, key: tuple) -> Any:
    """Return the result of exactly this work if it was done lately, else None."""
    return _results(name).get(_plain(key))


def run(name: str, key: tuple, work: Work[R], words: str = "Measuring") -> R:
    """Return what `work` finds, or found lately; the script stops where newer work took over.

    Args:
        name: of the kind of work, "page.what".
        key: everything that the result depends on.
        work: called with its `Run` while the gate is held; not if the result is known.
        words: what is being done, for the progress bar.
    """
    results, plain = _results(name), _plain(key)
    found = results.get(plain)
    if found is not None:
        return found
    place = st.empty()
    one = Run(words, place)
    try:
        with gate.heavy_work(one.check):
            found = results.get(plain)  # another session may have found it meanwhile
            if found is None:
                found = work(one)
                results.put(plain, found)
    except gate.Superseded:
        st.stop()
    finally:
        place.empty()
    return found


def kept(name: str, key: tuple, find: Callable[[], R], *, most: int = MOST_RESULTS) -> R:
    """Return what `find` finds, or found lately, without the gate: for what costs little.

    Args:
        name: of the kind of thing, "page.what".
        key: everything that it depends on.
        find: returns it.
        most: of this kind are kept.
    """
    results, plain = _results(name, most), _plain(key)
    found = results.get(plain)
    if found is None:
        found = find()
        results.put(plain, found)
    return found


class _Recent:
    """The most recent results of all sessions, each under everything that it depends on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """Return the result kept under `key`, or None."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: Hashable, result: Any) -> None:
        """Keep a result, and forget the one that was asked for longest ago if there are many."""
        with self._lock:
            self._results[key] = result
            while len(self._results) > self._most:
                self._results.popitem(last=False)


@st.cache_resource
def _results(name: str, most: int = MOST_RESULTS) -> _Recent:  # one for each name
    return _Recent(most)


def _plain(part: Any) -> Hashable:
    """Return a hashable stand-in for what a result depends on: equal only where the part is."""
    match part:
        case CheckpointInfo():
            return part.digest, part.inference
        case Tensor():
            return tuple(part.shape), hashlib.sha256(part.contiguous().numpy().tobytes()).digest()
        case Attack():
            return part.name, part
        case tuple() | list():
            return tuple(_plain(each) for each in part)
        case _:
            return part
