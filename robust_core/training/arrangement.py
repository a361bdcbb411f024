"""How the passes of a run are computed: precision, memory layout, threads; chosen once, then kept.

What the configuration leaves open is measured where the run starts. The choice is written into the
run, because a resume that computed otherwise would end with other weights.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.acceleration.calibration import (
    keep_measurements,
    machine_key,
    measurements_file,
    processor,
)
from robust_core.config.run import RunConfig
from robust_core.errors import InputError
from robust_core.files import parse_json_object, write_atomically
from robust_core.models.base import create_model
from robust_core.parameters import Parameters

logger = logging.getLogger("robust_core.training")

FILE = "arrangement.json"
WORTH = 20_000  # training images of all epochs; a shorter run is over before a choice pays
LARGEST_BATCH = 64  # images of a measured step
LIMIT = 1.5  # seconds of measuring
MOST_ROUNDS = 5
GAIN = {"float32 channels last": 1.05, "bfloat16": 1.2}  # times as fast as the next simpler
Way: TypeAlias = tuple[Literal["float32", "bfloat16"], bool]
WAYS: dict[str, Way] = {  # the simplest first
    "float32": ("float32", False),
    "float32 channels last": ("float32", True),
    "bfloat16": ("bfloat16", True),
}


class Arrangement(Parameters):
    """How the passes of a run are computed.

    Fields: `precision` and `channels_last` of the passes (weights are always float32); `threads` of
    torch on the CPU; `processor` that the run began on; `milliseconds` that a step of the network
    took in each way that was tried, {} where nothing was left to choose.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    threads: Annotated[int, Field(ge=1, le=4096)] = 1
    processor: Annotated[str, Field(max_length=300)] = ""
    milliseconds: Annotated[dict[str, float], Field(default_factory=dict, max_length=8)]

    @property
    def bfloat16(self) -> bool:
        """Whether the passes are computed in bfloat16."""
        return self.precision == "bfloat16"

    @property
    def words(self) -> str:
        """The arrangement in words, with the figures behind it."""
        layout = " channels last" if self.channels_last else ""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        tried = ", ".join(f"{way} {ms:.3g} ms" for way, ms in self.milliseconds.items())
        chosen = f" (a step of the network: {tried})" if tried else ""
        return f"passes in {self.precision}{layout}, {threads} on {self.processor}{chosen}"


def as_configured(config: RunConfig, device: torch.device) -> Arrangement:
    """Return what a configuration says; what it leaves open is decided without measuring.

    That is bfloat16 on a GPU that has it, else float32; channels last with bfloat16.
    """
    precision = config.precision
    if precision == "auto":
        has_it = device.type == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bfloat16" if has_it else "float32"
    layout = precision == "bfloat16" if config.channels_last is None else config.channels_last
    return Arrangement(
        precision=precision,
        channels_last=layout,
        threads=torch.get_num_threads(),
        processor=processor() if device.type == "cpu" else torch.cuda.get_device_name(device),
        milliseconds={},
    )


def arrange(
    config: RunConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_images: int,
    device: torch.device,
) -> Arrangement:
    """Return the fastest way on this machine that the configuration allows.

    On the CPU a step of the network is timed in each way, at most two seconds in all, and the
    figures are kept for other runs; a short run is not measured, nor is one on a GPU.

    Args:
        config: of the run.
        image_shape: (C, H, W).
        num_classes: K.
        num_images: of the training set.
        device: to train on.
    """
    usual = as_configured(config, device)
    ways = _allowed(config)
    if device.type != "cpu" or len(ways) == 1 or num_images * config.epochs < WORTH:
        return usual
    path = measurements_file(
        [
            *("training", config.model.model_dump(mode="json"), list(image_shape), num_classes),
            *(min(config.batch_size, LARGEST_BATCH), sorted(ways), *machine_key(device)),
        ]
    )
    figures = _read(path, ways)
    if figures is None:
        figures = _measure(config, image_shape, num_classes, ways)
        keep_measurements(path, figures)
    precision, layout = WAYS[_fastest(figures)]
    changes = {"precision": precision, "channels_last": layout, "milliseconds": figures}
    return usual.model_copy(update=changes)


def begun_with(folder: Path, resumed: bool, choose: Callable[[], Arrangement]) -> Arrangement:
    """Return how a run began; where it begins now, choose and write that into its folder.

    Args:
        folder: of the run.
        resumed: whether it goes on after a complete epoch.
        choose: `arrange` for this run.

    Raises:
        InputError: the file in the run's folder is damaged.
    """
    path = folder / FILE
    if resumed and path.exists():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{path} cannot be read; start the run again") from None
        return Arrangement.create(parse_json_object(text, str(path)))
    found = choose()
    text = json.dumps(found.model_dump(mode="json"), indent=2) + "\n"
    write_atomically(path, text.encode())
    return found


@contextmanager
def using_threads(number: int | None) -> Iterator[None]:
    """Let torch use so many threads; afterwards as many as before, whoever changed it meanwhile."""
    before = torch.get_num_threads()
    try:
        if number is not None:
            torch.set_num_threads(number)
        yield
    finally:
        torch.set_num_threads(before)


def go_on_with(arrangement: Arrangement, *, threads_said: bool) -> None:
    """Use the threads that a run began with; say in the log where that cannot be.

    Args:
        arrangement: of the run.
        threads_said: whether the person says the number of threads, which then counts.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not threads_said and arrangement.threads <= (cores or 1):
        torch.set_num_threads(arrangement.threads)
    here = (torch.get_num_threads(), processor())
    if here != (arrangement.threads, arrangement.processor) and not torch.cuda.is_available():
        logger.warning(
            "this run began with %d threads on %s and goes on with %d on %s: its weights will not "
            "be those of an uninterrupted run, bit for bit",
            *(arrangement.threads, arrangement.processor, *here),
        )


def refuse_corruption(model: nn.Module) -> None:
    """Refuse channels last in float32 where it kills the process.

    On the CPU, torch 2.13 and 2.15 write beyond the weight gradient of a 1x1 convolution with a
    stride in float32, if its input has fewer than 8 channels, side by side.

    Raises:
        InputError: the network has such a layer.
    """
    for part in model.modules():
        if (
            isinstance(part, nn.Conv2d)
            and part.kernel_size == (1, 1)
            and part.stride != (1, 1)
            and part.in_channels < 8
        ):
            raise InputError(
                "channels_last should be off for so narrow a network: torch corrupts memory on the "
                f"CPU at a shortcut of {part.in_channels} channels (8 work)"
            )


def _allowed(config: RunConfig) -> dict[str, Way]:
    """Return the ways between which a configuration leaves the choice."""
    return {
        name: (precision, layout)
        for name, (precision, layout) in WAYS.items()
        if config.precision in ("auto", precision) and config.channels_last in (None, layout)
    } or {"as configured": ("bfloat16", False)}


def _measure(
    config: RunConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    ways: dict[str, Way],
) -> dict[str, float]:
    """Return the milliseconds of a step of the network in each way; all take turns."""
    draws = torch.Generator().manual_seed(0)
    x = torch.rand((min(config.batch_size, LARGEST_BATCH), *image_shape), generator=draws)
    models: dict[str, nn.Module] = {}
    for name, (precision, layout) in ways.items():
        model = create_model(
            config.model.name, image_shape, num_classes, config.model.parameters, seed=config.seed
        )
        try:
            if layout and precision == "float32":
                refuse_corruption(model)
        except InputError:
            continue
        if layout:
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore
        models[name] = model.train()
    best = dict.fromkeys(models, float("inf"))
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        for turn in range(MOST_ROUNDS + 1):
            for name, model in models.items():
                begin = time.perf_counter()
                _step(model, x, *ways[name])
                if turn:  # the first fills caches
                    best[name] = min(best[name], 1000 * (time.perf_counter() - begin))
            if turn and time.perf_counter() - started > LIMIT:
                break
    return best


def _step(model: nn.Module, x: Tensor, precision: str, layout: bool) -> None:
    """Compute the gradients of a training step: of the images for the attack, of the weights."""
    x = x.detach().clone()
    if layout:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_(True)
    with torch.enable_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(x)
        loss = F.cross_entropy(logits.float(), logits.argmax(dim=1))
        torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)


def _fastest(milliseconds: dict[str, float]) -> str:
    """Return the fastest way; a less simple one only where it gains enough."""
    chosen, *others = milliseconds
    for name in others:
        if GAIN.get(name, 1.0) * milliseconds[name] <= milliseconds[chosen]:
            chosen = name
    return chosen


def _read(path: Path, ways: dict[str, Way]) -> dict[str, float] | None:
    try:
        figures = {str(k): float(v) for k, v in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return figures if figures and figures.keys() <= ways.keys() else None
