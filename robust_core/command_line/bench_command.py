"""`python -m robust_core bench`."""

import platform
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable

import torch

from robust_core.acceleration.memory import keep_freed_memory
from robust_core.bench.contestants import BFLOAT16, FLOAT32, PEERS, contestants, is_installed
from robust_core.bench.sections import (
    all_classes,
    autoattack,
    linearity,
    memory,
    robust_accuracy,
    speed_of_pgd,
    trained,
    untrained,
)
from robust_core.bench.timing import peaks
from robust_core.bench.training import methods
from robust_core.command_line.options import Parser, up_to
from robust_core.command_line.work import thread_count
from robust_core.errors import InputError

NETWORKS: dict[str, tuple[str, dict[str, int]]] = {
    "small_cnn": ("small_cnn", {}),
    "width16": ("preact_resnet18", {"width": 16}),
    "width32": ("preact_resnet18", {"width": 32}),
    "width64": ("preact_resnet18", {"width": 64}),
}
QUICK = ("small_cnn", "width16")
SECTIONS = ("speed", "linear", "classes", "memory", "robust", "methods")
ON_NETWORKS = SECTIONS[:4]


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Measure attacks on fresh networks, write tables and return the exit code."""
    parser = Parser(
        command="bench",
        description="Measure the speed of attacks on random 3x32x32 images and untrained "
        "networks, or (section robust) on checkpoints, compared with torchattacks, Foolbox and "
        "pyautoattack if installed, and (section methods) of training steps. Reported are medians "
        "of alternating runs.",
    )
    parser.add_argument(
        "--repeats", type=up_to(1000), default=3, help="runs per median (default 3)"
    )
    parser.add_argument(
        "--threads", type=thread_count, help="CPU threads (default: torch's choice)"
    )
    parser.add_argument("--steps", type=up_to(10_000), default=20, help="PGD steps (default 20)")
    parser.add_argument(
        "--batches",
        type=up_to(16_384),
        nargs="+",
        default=[1, 64],
        help="batch sizes (default 1 64)",
    )
    parser.add_argument(
        "--networks", nargs="+", choices=list(NETWORKS), default=list(QUICK), metavar="NETWORK",
        help=f"{', '.join(NETWORKS)} (default {' '.join(QUICK)}, about a minute)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoints", nargs="+", default=["digits-standard", "digits-pgd_at"], metavar="NAME",
        help="checkpoints attacked in section robust (default digits-standard digits-pgd_at)",
    )  # fmt: skip
    parser.add_argument(
        "--data", nargs="+", default=["digits"], metavar="NAME",
        help="data sets of section methods (default digits)",
    )  # fmt: skip
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, default=["speed"], metavar="SECTION",
        help=f"{', '.join(SECTIONS)} (default speed)",
    )  # fmt: skip
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        help="include the compiled bfloat16 search, which takes a minute or more to compile",
    )
    options = parser.parse_args(arguments)
    try:
        return _measure(options, terminated)
    except (MemoryError, RuntimeError) as error:  # torch's own is a RuntimeError
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        raise InputError(
            "the bench ran out of memory; expected smaller --batches or --networks (what is "
            "written above is complete)"
        ) from None


def _measure(options: Namespace, terminated: Callable[[], bool]) -> int:
    """Write the tables that the options ask for and return the exit code."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    kept = keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _write(
        [
            f"torch {torch.__version__}, {_device_words(device)}, "
            f"{torch.get_num_threads()} threads, freed memory {'kept' if kept else 'returned'}"
        ]
    )
    everybody = contestants(device, compiled=options.bfloat16)
    missing = [name for name in PEERS if not is_installed(name)]
    if missing:
        _write([f"not installed, so not compared: {', '.join(missing)}"])
    peak: dict[str, float] = {}
    for name, dtype in ((FLOAT32, torch.float32), (BFLOAT16, torch.bfloat16)):
        measured = peaks(device, dtype)
        peak[name] = max(measured.values())
        each = ", ".join(f"{what} {value / 1e9:.0f}" for what, value in measured.items())
        _write([f"peak of {name}, GFLOP/s: {each}"])
    for name in options.checkpoints if "robust" in options.sections else ():
        case, epsilon = trained(name, max(options.batches), device)
        words = f"Linf {epsilon:.4g}, {name}, the first {len(case[1])} test images"
        _write([f"robust accuracy by PGD-50x5, {words}", *robust_accuracy(case, epsilon, 50, 5)])
        _write([f"robust accuracy by AutoAttack, {words}", *autoattack(case, epsilon)])
    for name in options.data if "methods" in options.sections else ():
        _write([f"a training step, {name}", *methods(name, device, options.repeats)])
    for label in options.networks if set(options.sections) & set(ON_NETWORKS) else ():
        name, parameters = NETWORKS[label]
        if terminated():
            return 1
        words = " ".join([name, *(f"{key} {value}" for key, value in parameters.items())])
        sections = options.sections
        if "speed" in sections:
            for num_images in options.batches:
                _write([f"PGD-{options.steps}, Linf 8/255, {words}, {num_images} images"])
                case = untrained(name, parameters, num_images, device)
                _write(speed_of_pgd(case, options.steps, options.repeats, peak, everybody))
        case = untrained(name, parameters, max(options.batches), device)
        if "linear" in sections:
            _write([f"cost of PGD in float32, {words}", *linearity(case, options.repeats)])
        if "classes" in sections:
            _write([f"gradients of classes, {words}", *all_classes(case, options.repeats)])
        if "memory" in sections:
            _write(
                [f"memory of two steps on 256 images, {words}", *memory(name, parameters, device)]
            )
    return 0


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _device_words(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}"
