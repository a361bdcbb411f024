"""What a training step of every method costs beside one of `pgd_at`."""

from collections.abc import Callable, Iterator, Sequence

import torch

from robust_core.bench.timing import interleaved_medians, peak_memory
from robust_core.config.presets import preset
from robust_core.data import data_source
from robust_core.methods.base import METHODS
from robust_core.training.evaluator import load_split
from robust_core.training.state import create_state
from robust_core.training.step import TrainingStep

YARDSTICK = "pgd_at"
NUM_IMAGES_OF_MEMORY = 256


def methods(
    data: str, device: torch.device, repeats: int, names: Sequence[str] | None = None
) -> Iterator[str]:
    """Yield a line for each method: ms and MiB of a step, and both beside `pgd_at`'s.

    A step takes one batch of the quick preset, with augmentation, at full epsilon; of a method
    that replays its batches, all replays. Memory is that of a step on 256 images.

    Args:
        data: name of a data set.
        device: where to train.
        repeats: steps per median.
        names: which methods; None: all.
    """
    chosen = list(dict.fromkeys([YARDSTICK, *(METHODS.names() if names is None else names)]))
    seconds = interleaved_medians(
        {name: _step(data, name, device) for name in chosen}, repeats, device
    )
    memory = {
        name: peak_memory(_step(data, name, device, NUM_IMAGES_OF_MEMORY), device)
        for name in chosen
    }
    for name in chosen:
        config = preset(data, name)
        time, space = seconds[name] / seconds[YARDSTICK], memory[name] / memory[YARDSTICK]
        yield (
            f"  {name:<20}{1000 * seconds[name]:>9.1f} ms{time:>7.2f} x"
            f"{memory[name]:>8.1f} MiB{space:>7.2f} x"
            f"  {config.model.name}, {config.batch_size} images"
        )


def _step(
    data: str, name: str, device: torch.device, num_images: int | None = None
) -> Callable[[], object]:
    config = preset(data, name)
    images = load_split(config, "train")
    state = create_state(config, images.image_shape, images.num_classes, device)
    x, y = images.x.to(device), images.y.to(device)
    state.method.prepare(x, y)
    state.method.on_epoch_start(config.epochs - 1, config.epochs)  # no warm-up any more
    state.model.train()
    augmentation = data_source(config.data.name).augmentation
    step = TrainingStep(config, state, x, y, augmentation=augmentation)
    index = torch.arange(num_images or config.batch_size, device=device)
    rate = config.optimiser.learning_rate / 100  # many steps on one batch should not diverge
    return lambda: step(index, rate, 0)
