"""Reproducing, on a single image, an attack that succeeded within a batch."""

import time

from app.ui.image_picker import ChosenImage
from app.ui.traces import attack_image
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo

MOST_TRIES = 25
MOST_SECONDS = 6.0
LARGEST_SEED = 2**31


def reproduce_attack(
    info: CheckpointInfo, image: ChosenImage, attack: Attack, batch: int
) -> Attack | None:
    """Return the attack with a seed that makes it succeed on the image; None if none was found.

    An evaluation seeds batch b with the attack's seed + b and draws random numbers for the whole
    batch, so a single image gets different ones. That seed is tried first, then the next ones; an
    attack without randomness needs one try. The trace is kept for the Attack page.

    Args:
        info: the attacked checkpoint.
        image: the misclassified image.
        attack: the attack that succeeded.
        batch: number of the image's batch.

    Raises:
        InputError: the checkpoint cannot be loaded.
    """
    started = time.perf_counter()
    for number in range(MOST_TRIES):
        seeded = seeded_attack(attack, batch + number)
        if attack_image(info, image.x, image.label, seeded).success:
            return seeded
        if time.perf_counter() - started > MOST_SECONDS:
            return None
    return None


def seeded_attack(attack: Attack, number: int) -> Attack:
    """Return the attack with the seed that an evaluation uses for batch `number`."""
    return attack.model_copy(update={"seed": (attack.seed + number) % LARGEST_SEED})
