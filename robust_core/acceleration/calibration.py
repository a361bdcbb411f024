"""Which copy of a network is the fastest on this machine, found by measuring."""

import hashlib
import json
import logging
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.files import write_atomically
from robust_core.paths import cache_folder

logger = logging.getLogger("robust_core.acceleration")

LIMIT = 2.0  # seconds for all copies together
MOST_ROUNDS = 9
FEW, MANY = 1, 32  # images of the two measurements; batches of up to `LARGEST_FEW` count as few
LARGEST_FEW = 7
LONGEST_PASS = 0.1  # seconds of one input gradient; fewer images are taken where it would be more
GAIN = 1.05  # what is not this much faster than the network as it is is not used
MATRIX_UNITS = 2.5  # bfloat16 this much faster than float32: worth the minutes of a compiler
ROUNDING = 1e-3  # difference of logits that is taken for rounding, relative to the largest

Copy = str  # "reference", "float32" or "bfloat16"


@dataclass(frozen=True)
class Calibration:
    """Seconds of one input gradient by each copy of a network, for few images and for many.

    Attributes:
        few: for `num_few` images, by copy. many: for `num_many`.
    """

    few: Mapping[str, float]
    many: Mapping[str, float]
    num_few: int
    num_many: int

    @property
    def for_few(self) -> Copy:
        """The fastest copy for up to `LARGEST_FEW` images."""
        return _fastest(self.few)

    @property
    def for_many(self) -> Copy:
        """The fastest copy for larger batches."""
        return _fastest(self.many)

    @property
    def compile(self) -> bool:
        """Whether bfloat16 gains so much that a compiled step of it is likely to gain more."""
        return MATRIX_UNITS * self.many.get("bfloat16", float("inf")) <= self.many["reference"]

    @property
    def words(self) -> str:
        """The choice and the figures behind it, in one sentence."""
        parts = (
            f"{_name(copy)} for {what} ({number}: {_list(seconds)})"
            for copy, what, number, seconds in (
                (self.for_few, f"up to {LARGEST_FEW} images", self.num_few, self.few),
                (self.for_many, "more", self.num_many, self.many),
            )
        )
        return f"input gradients are computed by {' and by '.join(parts)}"


def calibrate(
    copies: Mapping[Copy, nn.Module],
    exact: Mapping[Copy, nn.Module],
    image_shape: tuple[int, int, int],
    key: str,
) -> Calibration:
    """Return what each copy takes for an input gradient, measured once and then remembered.

    A copy whose float32 model does not return the logits of the network as it is does not take
    part. The result is kept in the folder of the data sets' cache under everything that it depends
    on: network, image shape, processor, number of threads, version of torch.

    Args:
        copies: the models whose gradients an attack would follow; "reference" is among them.
        exact: the float32 models that would decide, by the same names.
        image_shape: (C, H, W) of the images to measure on.
        key: what tells the network from others, its parameters' shapes included.
    """
    device = next(copies["reference"].parameters()).device
    path = measurements_file([key, list(image_shape), *machine_key(device)])
    kept = _read(path)
    if kept is not None and set(kept.many) == set(copies):
        logger.info(kept.words)
        return kept
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(MANY, *image_shape, generator=generator).to(device)
    agreeing = {name: one for name, one in copies.items() if _agrees(exact, name, x)}
    first = _seconds({"reference": copies["reference"]}, x[:FEW], LIMIT / 10)["reference"]
    number = max(FEW, min(MANY, int(LONGEST_PASS / first)))
    many = _seconds(agreeing, x[:number], LIMIT / 2)
    few = _seconds(agreeing, x[:FEW], LIMIT / 2)
    found = Calibration(few, many, FEW, number)
    logger.info(found.words)
    if set(found.many) == set(copies):
        keep_measurements(path, asdict(found))
    return found


def _seconds(copies: Mapping[Copy, nn.Module], x: Tensor, limit: float) -> dict[str, float]:
    """Return the shortest time of an input gradient by each copy; all take turns."""
    best = dict.fromkeys(copies, float("inf"))
    started = time.perf_counter()
    for turn in range(MOST_ROUNDS + 1):
        for name, copy in copies.items():
            begin = time.perf_counter()
            _gradient(copy, x)
            if turn:  # the first fills caches
                best[name] = min(best[name], time.perf_counter() - begin)
        if turn and time.perf_counter() - started > limit:
            break
    return dict(best)


def _gradient(model: nn.Module, x: Tensor) -> None:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        logits = model(x)
        loss = F.cross_entropy(logits.float(), logits.argmax(dim=1), reduction="sum")
        torch.autograd.grad(loss, x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


@torch.no_grad()
def _agrees(exact: Mapping[Copy, nn.Module], name: Copy, x: Tensor) -> bool:
    expected, found = exact["reference"](x), exact[name](x)
    return bool((found - expected).abs().max() <= ROUNDING * expected.abs().max())


def _fastest(seconds: Mapping[str, float]) -> Copy:
    usual = seconds["reference"]
    gaining = {name: value for name, value in seconds.items() if GAIN * value <= usual}
    return min(gaining, key=gaining.__getitem__, default="reference")


def _name(copy: Copy) -> str:
    return {
        "reference": "the network as it is",
        "float32": "an optimised copy in float32",
        "bfloat16": "an optimised copy in bfloat16",
    }[copy]


def _list(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {1000 * value:.3g} ms" for name, value in seconds.items())


def machine_key(device: torch.device) -> list[str | int]:
    """Return what a speed depends on besides the network."""
    if device.type == "cuda":
        return [torch.__version__, torch.cuda.get_device_name(device)]
    return [torch.__version__, processor(), torch.get_num_threads()]


def processor() -> str:
    """Return the name of this machine's processor and the vector instructions that torch uses."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # Linux only
        lines = []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(found, name)}, {torch.backends.cpu.get_cpu_capability()}"


def measurements_file(key: Sequence[Any]) -> Path:
    """Return the file in which what was measured is kept, by everything that it depends on.

    Args:
        key: of JSON values, `machine_key` among them.
    """
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return cache_folder() / "acceleration" / f"{digest[:20]}.json"


def _read(path: Path) -> Calibration | None:
    try:
        kept = Calibration(**json.loads(path.read_text(encoding="utf-8")))
        figures = [*kept.few.values(), *kept.many.values()]
        sound = "reference" in kept.many and all(0 < float(one) < 1e6 for one in figures)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return kept if sound and set(kept.few) == set(kept.many) else None


def keep_measurements(path: Path, found: Mapping[str, Any]) -> None:
    """Write what was measured, JSON values, to a file of `measurements_file`, if that can be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(found).encode())
    except OSError as error:  # it is measured again next time
        logger.info("the measured speeds are not kept: %s", error.strerror)
