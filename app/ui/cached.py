"""Cache wrappers of engine calls, and the one gate in front of heavy work.

Models and images are shared by all sessions: nothing here changes a model's mode, fills parameter
gradients or seeds a global generator.
"""

import atexit
import gc
import hashlib
import json
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import streamlit as st
import torch
from torch import Tensor

from app.ui.first_image import first_image
from robust_core import data as engine_data
from robust_core.acceleration.memory import keep_freed_memory
from robust_core.attacks.base import Attack, AttackStep
from robust_core.checkpoints import catalog
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.trace import AttackTrace, trace_attack
from robust_core.gradients import input_gradient, predict_logits
from robust_core.losses import cross_entropy, is_correct
from robust_core.models.base import Classifier

MOST_TRACES = 32
MEASURED_PASSES = 5
SEARCHED = 64  # images among which a first example is looked for

T = TypeVar("T")


class Superseded(Exception):  # noqa: N818 - not an error: a newer request took over
    """The session asked for something else while this computation ran."""


class LatestOnly:
    """Lets only the newest computation of a page go on; one instance a session and page."""

    def __init__(self) -> None:
        self._newest = 0

    def begin(self) -> Callable[[], None]:
        """Announce a computation; the returned check raises `Superseded` once a newer one began."""
        self._newest += 1
        mine = self._newest

        def check() -> None:
            if mine != self._newest:
                raise Superseded

        return check


def latest_only(page: str) -> LatestOnly:
    """Return this session's `LatestOnly` of a page."""
    key = f"{page}.latest_only"
    if key not in st.session_state:
        st.session_state[key] = LatestOnly()
    return st.session_state[key]


@st.cache_resource
def _gate() -> threading.BoundedSemaphore:
    # pages attack single images: a second thread gains nothing there, and waits on a busy machine
    torch.set_num_threads(1)
    keep_freed_memory()
    return threading.BoundedSemaphore(1)


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
def heavy_work(check: Callable[[], None] | None = None) -> Iterator[None]:
    """Wait for the process-wide gate of heavy torch work and hold it.

    Args:
        check: called while waiting; an exception it raises (`Superseded`) ends the wait.
    """
    gate = _gate()
    _spare_libraries(len(sys.modules))
    while not gate.acquire(timeout=0.05):
        if check is not None:
            check()
    try:
        yield
    finally:
        gate.release()


def checkpoints() -> list[CheckpointInfo]:
    """Return all readable checkpoints, each followed by the other ways to use its network.

    Headers are read once per version of a file.
    """
    found = []
    for name in catalog.list_checkpoints():
        try:
            info = catalog.checkpoint_info(name)
            others = [catalog.checkpoint_info(f"{name}:{other}") for other in info.inferences]
        except InputError:
            continue  # deleted or replaced since it was listed
        found += [info, *others]
    return found


def load_model(info: CheckpointInfo) -> Classifier:
    """Return the network of a checkpoint, shared by all sessions: in eval mode and frozen.

    Raises:
        InputError: the file is gone, damaged, or no longer the one that `info` describes.
    """
    return _load_model(info.name, info.digest)


@st.cache_resource(max_entries=8, show_spinner="Loading the model …")
def _load_model(name: str, digest: str) -> Classifier:
    model = catalog.load_model(name)
    if catalog.checkpoint_info(name).digest != digest:
        raise InputError(f"{name} was replaced while it was being read; try again")
    return model


def _use(info: CheckpointInfo) -> str:
    """Return what tells one use of one file's network from every other."""
    return f"{info.digest}:{info.inference}"


def load_images(info: CheckpointInfo, split: str = "test") -> ImageSet:
    """Return a split of the data set a checkpoint was trained on, as it was divided then.

    Raises:
        InputError: the data set is missing or unusable.
    """
    choice = info.config.data
    seed = choice.seed if split in ("train", "validation") else 0
    return _load_images(choice.name, split, json.dumps(choice.parameters, sort_keys=True), seed)


@st.cache_resource(max_entries=8, show_spinner="Loading the images …")
def _load_images(name: str, split: str, parameters: str, seed: int) -> ImageSet:
    return engine_data.load_data(name, split, json.loads(parameters), seed=seed)


def first_right(info: CheckpointInfo, split: str = "test") -> int:
    """Return the position of an image that the checkpoint predicts as labelled, or 0.

    The data set's own first image where the checkpoint is right about it, else the first such one.
    """
    number = first_image(info.config.data) if split == "test" else None
    return _first_right(_use(info), split, number, load_model(info), load_images(info, split))


@st.cache_data(max_entries=64, show_spinner=False)
def _first_right(
    use: str, split: str, number: int | None, _model: Classifier, _images: ImageSet
) -> int:
    wanted = torch.where(_images.index == (-1 if number is None else number))[0]
    if len(wanted) and is_correct(predict_logits(_model, _images.x[wanted]), _images.y[wanted]):
        return int(wanted)
    right = is_correct(predict_logits(_model, _images.x[:SEARCHED]), _images.y[:SEARCHED])
    return int(right.int().argmax())


def seconds_per_pass(info: CheckpointInfo, batch_size: int = 1) -> float:
    """Return the measured time of one forward-backward pass of one image on this machine.

    Args:
        info: the checkpoint.
        batch_size: images that go through the network together.
    """
    shape = (batch_size, *info.image_shape)
    return _seconds_per_pass(_use(info), load_model(info), shape) / batch_size


@st.cache_data(max_entries=64, show_spinner=False)
def _seconds_per_pass(use: str, _model: Classifier, shape: tuple[int, int, int, int]) -> float:
    x, y = torch.full(shape, 0.5), torch.zeros(shape[0], dtype=torch.int64)
    times = []
    with heavy_work():
        for _ in range(MEASURED_PASSES):
            started = time.perf_counter()
            input_gradient(_model, x, lambda logits: cross_entropy(logits, y))
            times.append(time.perf_counter() - started)
    return min(times)  # the first passes also warm up


class Recent(Generic[T]):
    """The most recent results of all sessions, each under everything that it depends on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[tuple, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple) -> T | None:
        """Return the result kept under `key`, or None."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: tuple, result: T) -> None:
        """Keep a result, and forget the one that was asked for longest ago if there are many."""
        with self._lock:
            self._results[key] = result
            while len(self._results) > self._most:
                self._results.popitem(last=False)


@st.cache_resource
def _traces() -> Recent[AttackTrace]:
    return Recent(MOST_TRACES)


def attack_key(info: CheckpointInfo, x: Tensor, label: int, attack: Attack) -> tuple:
    """Return what identifies an attack on one image [C,H,W]: model, pixels, label and attack."""
    pixels = hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()
    return _use(info), tuple(x.shape), pixels, label, attack.name, attack


def known_trace(
    info: CheckpointInfo, x: Tensor, label: int, attack: Attack, target: int | None
) -> AttackTrace | None:
    """Return the trace of exactly this attack if it was run lately."""
    return _traces().get((*attack_key(info, x, label, attack), target))


def run_attack(
    info: CheckpointInfo,
    x: Tensor,
    label: int,
    attack: Attack,
    target: int | None,
    *,
    check: Callable[[], None],
    on_progress: Callable[[int], None] | None = None,
) -> AttackTrace:
    """Attack one image, or return the trace of the same attack run before.

    Args:
        info: the attacked checkpoint.
        x: image [C,H,W] in [0, 1].
        label: class to move away from.
        attack: the attack.
        target: class to reach or None.
        check: called at every step; ends the attack by raising `Superseded`.
        on_progress: called at every step with the iterates computed so far.

    Raises:
        Superseded: as `check` says.
        InputError: the checkpoint cannot be loaded.
    """
    key = (*attack_key(info, x, label, attack), target)
    found = _traces().get(key)
    if found is not None:
        return found
    model = load_model(info)
    count = 0

    def observe(step: AttackStep) -> None:
        nonlocal count
        check()
        count += 1
        if on_progress is not None:
            on_progress(count)

    with heavy_work(check):
        trace = trace_attack(model, x, label, attack, target=target, on_step=observe)
    _traces().put(key, trace)
    return trace
