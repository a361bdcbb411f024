"""An attack that breaks one image alone as it broke it among the others of an evaluation."""

import time

from app.ui import cached
from app.ui.image_picker import ChosenImage
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo

MOST_TRIES = 25
MOST_SECONDS = 6.0
LARGEST_SEED = 2**31


def breaking_attack(
    info: CheckpointInfo, image: ChosenImage, attack: Attack, batch: int
) -> Attack | None:
    """Return the attack with a seed under which it breaks the image; None where none was found.

    An evaluation seeds batch b with the attack's seed + b and draws random numbers for all of its
    images together, so one image alone gets others. That seed is tried first, then the next ones;
    an attack without randomness needs one try. The trace is kept for the page Attack.

    Args:
        info: the attacked checkpoint.
        image: the image that fell.
        attack: what it fell to.
        batch: number of its batch.

    Raises:
        InputError: the checkpoint cannot be loaded.
        Superseded: the session asked for something else meanwhile.
    """
    check = cached.latest_only("attack").begin()
    started = time.perf_counter()
    for number in range(MOST_TRIES):
        seeded = seeded_attack(attack, batch + number)
        if cached.run_attack(info, image.x, image.label, seeded, None, check=check).success:
            return seeded
        if time.perf_counter() - started > MOST_SECONDS:
            return None
    return None


def seeded_attack(attack: Attack, number: int) -> Attack:
    """Return the attack as an evaluation seeds it for batch `number`."""
    return attack.model_copy(update={"seed": (attack.seed + number) % LARGEST_SEED})
