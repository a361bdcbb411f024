"""How time, work and memory are measured."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from robust_core.gradients import predict_logits

MATRIX_SIDE = 2048
MIB = 2**20
REPEATS_OF_PEAK = 5


def interleaved_medians(
    work: Mapping[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, float]:
    """Return the median seconds of each piece of work.

    All take turns, so that whatever else the machine does hits all of them; the first turn, in
    which caches fill and compilers run, does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, call in work.items():
            started = time.perf_counter()
            call()
            wait_for(device)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def wait_for(device: torch.device) -> None:
    """Return when `device` has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peaks(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Return the measured FLOP/s of a square matmul and of a 3x3 convolution, channels last."""
    side = MATRIX_SIDE if device.type == "cpu" else 4 * MATRIX_SIDE
    matrix = torch.randn(side, side, device=device).to(dtype)
    maps = torch.randn(64, 128, 16, 16, device=device)
    maps = maps.to(dtype=dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(128, 128, 3, 3, device=device)
    kernel = kernel.to(dtype=dtype).contiguous(memory_format=torch.channels_last)
    flops = {"matmul": 2.0 * side**3, "convolution": 2.0 * 9 * 128 * 128 * 16 * 16 * 64}
    work: dict[str, Callable[[], object]] = {
        "matmul": lambda: matrix @ matrix,
        "convolution": lambda: F.conv2d(maps, kernel, padding=1),
    }
    with torch.no_grad():
        seconds = interleaved_medians(work, REPEATS_OF_PEAK, device)
    return {name: flops[name] / seconds[name] for name in work}


def gradient_flops(model: nn.Module, image: Tensor) -> int:
    """Return the floating-point operations of one input gradient of one image [1,C,H,W].

    Multiplications and additions of convolutions and matrix products: twice those of the forward
    pass, since the backward pass to the input has the same products transposed.
    """
    with FlopCounterMode(display=False) as counter:
        predict_logits(model, image)
    return 2 * counter.get_total_flops()


def peak_memory(work: Callable[[], object], device: torch.device) -> float:
    """Return the most memory that `work()` holds at once in tensors that it makes, in MiB.

    Counted are torch's allocations: neither the model, which is there before, nor what a kernel
    keeps for itself. A first call, in which caches fill, does not count.
    """
    work()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / MIB
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler talks on stderr
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    results = profiler.profiler.kineto_results if profiler.profiler is not None else None
    assert results is not None, "the profiler has been at work"
    every: list[Any] = results.events()  # torch's annotations leave `nbytes` out
    events = [event for event in every if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in events), initial=0)) / MIB
