"""Learning rates as pure functions of the step, so that resuming needs no scheduler state."""

import math

from robust_core.config.run import ScheduleConfig


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
