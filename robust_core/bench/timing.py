"""How time, work and memory are measured."""

import importlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from robust_core.gradients import predict_logits

MATRIX_SIDE = 2048
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


def peak_memory(work: Callable[..., None], *arguments: object) -> float:
    """Return how far `work(*arguments)` raises the resident memory of a fresh process, in MiB.

    `work` is a module's function; it is called with the number of images, first few, then many:
    the difference leaves out the interpreter, torch and the model. Linux and macOS.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report_memory, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        return float(receiver.recv())
    finally:
        process.join()


def _report_memory(
    sender: Connection, work: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    resource = importlib.import_module("resource")  # not on every system

    def largest() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    work(2, *arguments)
    before = largest()
    work(256, *arguments)
    sender.send(largest() - before)
