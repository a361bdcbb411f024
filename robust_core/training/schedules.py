"""Learning rate and order of the images as functions of the step: a resume needs no more."""

import math

import torch

from robust_core.config.run import ScheduleConfig

SMALLEST_PART = 2  # images of a batch for one process


def learning_rate(
    schedule: ScheduleConfig, highest: float, step: int, steps_per_epoch: int, num_epochs: int
) -> float:
    """Return the learning rate of one step.

    With t = step, T = steps_per_epoch * num_epochs and p = `schedule.peak`:

    - constant: highest.
    - step: highest * factor^k, where k milestones have been reached (checked per epoch).
    - cyclic: highest * t / (p T) up to the peak, highest * (T - t) / ((1 - p) T) after it; the
      triangle of Wong, Rice and Kolter, "Fast is better than free", ICLR 2020, arXiv:2001.03994.
    - cosine: highest * (1 + cos(pi t / T)) / 2; Loshchilov and Hutter, "SGDR", ICLR 2017,
      arXiv:1608.03983, eq. 5 with one cycle.

    Args:
        schedule: name and parameters.
        highest: the optimiser's learning rate.
        step: steps taken before this one in the whole run, from 0.
        steps_per_epoch: steps in an epoch.
        num_epochs: epochs in the run.
    """
    progress = step / (steps_per_epoch * num_epochs)
    match schedule.name:
        case "step":
            epoch = step // steps_per_epoch
            reached = sum(
                epoch >= (milestone * num_epochs if milestone < 1 else milestone)
                for milestone in schedule.milestones
            )
            return highest * schedule.factor**reached
        case "cyclic":
            rising, falling = progress / schedule.peak, (1 - progress) / (1 - schedule.peak)
            return highest * min(rising, falling)
        case "cosine":
            return highest * (1 + math.cos(math.pi * progress)) / 2
        case _:
            return highest


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed torch's default generator from (seed, epoch), so that every epoch stands alone."""
    torch.manual_seed((seed * 1_000_003 + epoch + 1) % 2**63)


def epoch_batches(
    num_images: int, batch_size: int, smallest: int = SMALLEST_PART
) -> list[torch.Tensor]:
    """Return the images of each step, int64 [B], in an order drawn from the default generator.

    A last batch of fewer than `smallest` images is left out: batch norm cannot train on one image.
    """
    batches = list(torch.randperm(num_images).split(batch_size))
    return batches if len(batches[-1]) >= smallest else batches[:-1]
