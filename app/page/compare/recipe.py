"""How to make the transfer matrix of the page Compare again outside the browser."""

from collections.abc import Sequence

from app.page.compare.measure import BATCH
from app.ui.copy_recipe import copy_recipe
from app.ui.recipes import Recipe, attack_line, recipe, sample_line
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo


def transfer_recipe(infos: Sequence[CheckpointInfo], attack: Attack, number: int) -> Recipe:
    """Return the lines for `measure.sample_transfer` with the same arguments."""
    return recipe(
        [
            sample_line(infos[0], number),
            f"models = [rc.load_model(name) for name in {[info.name for info in infos]!r}]",
            attack_line(attack),
            f"matrix = transfer_matrix(models, data.x, data.y, attack, batch_size={BATCH})",
            "print(matrix.clean_accuracy, matrix.robust_accuracy)",
        ],
        "from robust_core.evaluation.transfer import transfer_matrix",
    )


def copy_transfer(infos: Sequence[CheckpointInfo], attack: Attack, number: int) -> None:
    """Offer these lines."""
    copy_recipe(transfer_recipe(infos, attack, number), key="compare.recipe")
