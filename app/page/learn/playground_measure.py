"""The networks of the playground, trained once and cached."""

from collections.abc import Callable, Sequence

from app.ui.measure import Run, known, run
from robust_core.analysis.toy_2d import DecisionMap
from robust_core.analysis.toy_2d_moves import (
    Arrows,
    ToyRecipe,
    TrainedToy,
    moves,
    num_correct,
    train_recipe,
)

KIND = "learn.network"


def known_network(recipe: ToyRecipe) -> TrainedToy | None:
    """Return the network of exactly this recipe if it was trained recently."""
    return known(KIND, (recipe,))


def moved(
    networks: Sequence[TrainedToy], epsilon: float
) -> tuple[list[dict[str, Arrows]], list[int]]:
    """Return where attacks with `epsilon` move points, and how many points stay correct."""
    recipes = [one.recipe for one in networks]
    return run(
        "learn.moves",
        (recipes, epsilon),
        lambda job: (
            [moves(one, epsilon) for one in networks],
            [num_correct(one, epsilon) for one in networks],
        ),
    )


def train(
    recipe: ToyRecipe, words: str, draw: Callable[[int, DecisionMap], None] | None = None
) -> TrainedToy:
    """Train a network, or return the one trained before.

    Args:
        recipe: of the network.
        words: describe the progress.
        draw: called now and then while it learns: epochs done, its decision as it is.
    """

    def work(job: Run) -> TrainedToy:
        return train_recipe(
            recipe, on_epoch=lambda epoch: job.done(epoch, recipe.epochs + 1), on_frame=draw
        )

    return run(KIND, (recipe,), work, words)
