"""`python -m robust_core bench`."""

import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from robust_core.attacks.base import create_attack
from robust_core.command_line.options import Parser, positive
from robust_core.models.base import create_model

IMAGE_SHAPE, NUM_CLASSES, BATCH_SIZE = (3, 32, 32), 10, 64
NETWORKS = {"small_cnn": {}, "preact_resnet18": {"width": 32}}


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Measure PGD-20 on fresh networks, write a table and return the exit code."""
    parser = Parser(
        prog="python -m robust_core bench",
        description="Time PGD-20 (Linf, 8/255) on random 3x32x32 images and untrained networks.",
    )
    parser.add_argument("--repeats", type=positive, default=9, help="runs per median (default 9)")
    parser.add_argument(
        "--threads", type=positive, help="CPU threads (default: torch's own choice)"
    )
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sys.stdout.write(
        f"torch {torch.__version__}, {_device_words(device)}, {torch.get_num_threads()} threads\n"
        f"{'PGD-20, network':<28}{'one image':>14}{f'{BATCH_SIZE} images':>20}\n"
    )
    for name, parameters in NETWORKS.items():
        model = create_model(name, IMAGE_SHAPE, NUM_CLASSES, parameters)
        model = model.to(device).eval().requires_grad_(False)
        single = median_seconds(model, 1, device, options.repeats)
        many = median_seconds(model, BATCH_SIZE, device, max(1, options.repeats // 3))
        label = " ".join([name, *(f"{key} {value}" for key, value in parameters.items())])
        sys.stdout.write(
            f"{label:<28}{1000 * single:>11.1f} ms{BATCH_SIZE / many:>12.1f} images/s\n"
        )
        sys.stdout.flush()
    return 0


def median_seconds(model: nn.Module, num_images: int, device: torch.device, repeats: int) -> float:
    """Return the median time of PGD-20 on `num_images` random images, after one run to warm up."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(num_images, *IMAGE_SHAPE, generator=generator).to(device)
    y = torch.randint(NUM_CLASSES, (num_images,), generator=generator).to(device)
    attack = create_attack("pgd", num_steps=20)

    def seconds() -> float:
        started = time.perf_counter()
        _wait(attack(model, x, y))
        return time.perf_counter() - started

    seconds()
    return statistics.median(seconds() for _ in range(repeats))


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize()


def _device_words(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}"
