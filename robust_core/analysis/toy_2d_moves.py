"""Networks in the plane that train in seconds, and what moves points there.

Beside `toy_2d`, which has the points, the network and its training.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust_core.analysis.toy_2d import (
    ATTACK_STEP_SIZE,
    ATTACK_STEPS,
    FEW_CENTRES,
    HALF_WIDTH,
    SMOOTHING,
    DecisionMap,
    ToyNetwork,
    ToyPoints,
    as_images,
    correct_under_attack,
    decision_map,
    draw_moons,
    draw_points,
    train_toy,
)
from robust_core.attacks.base import create_attack
from robust_core.gradients import input_gradient, predict_logits
from robust_core.losses import cross_entropy
from robust_core.methods.atld import ATLD, discriminator_losses
from robust_core.methods.base import Batch, create_method
from robust_core.methods.feature_scattering import transport_cost
from robust_core.methods.parts.gradient_targets import nearest_of_each_class, towards
from robust_core.methods.parts.label_smoothing import smooth_labels
from robust_core.methods.parts.one_step import one_step_attack
from robust_core.models.discriminator import Discriminator
from robust_core.registry import unknown_name
from robust_core.threat_model import Norm, ThreatModel

DATA = ("line", "moons")
MOVES = ("gradient", "pgd", "feature_scattering", "lmae", "target")
BATCH_SIZE = 32
LARGEST_EPSILON = ATTACK_STEPS * ATTACK_STEP_SIZE  # of a slider: how far the attack can reach
NUM_ARROWS = 16
GRADIENT_LENGTH = 10.0  # of a gradient's arrow, in units of the plane: only its direction counts
DISCRIMINATOR_EPOCHS = 12
REACH, GRID = 80.0, 81
NUM_FRAMES = 20  # of a training, about
RADII = (0.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.5, 20.0)


@dataclass(frozen=True)
class ToyRecipe:
    """What is trained in the plane.

    Attributes:
        data: one of `DATA`: clusters on a line, or two moons.
        method: as `train_toy` takes it.
        num_points: training points in all; as many are tested.
        epochs: passes over them.
        epsilon: of the training attack in units of the plane.
        seed: of points, weights and order; the test points have the next one.
    """

    data: str
    method: str
    num_points: int
    epochs: int
    epsilon: float
    seed: int


@dataclass(frozen=True, eq=False)
class TrainedToy:
    """A network in the plane, in eval mode and frozen, with its points and what is known of it.

    Attributes:
        recipe: what it was trained by.
        network: the network.
        train: its training points. test: as many others.
        map: its decision on a grid.
        correct: how many test points are correct under attack at each of `RADII`.
        discriminator: tells the network's clean outputs from those of its latent manifold
            adversarial examples.
    """

    recipe: ToyRecipe
    network: ToyNetwork
    train: ToyPoints
    test: ToyPoints
    map: DecisionMap
    correct: tuple[int, ...]
    discriminator: Discriminator


@dataclass(frozen=True, eq=False)
class Arrows:
    """Moves in the plane: from `start` to `end`, both float32 [M,2]."""

    start: Tensor
    end: Tensor


def points_of(recipe: ToyRecipe, seed: int) -> ToyPoints:
    """Return `num_points` points of the recipe's data.

    Raises:
        InputError: unknown data.
    """
    if recipe.data not in DATA:
        raise unknown_name("data in the plane", recipe.data, list(DATA))
    if recipe.data == "moons":
        return draw_moons(recipe.num_points // 2, seed)
    return draw_points(recipe.num_points // 4, seed, FEW_CENTRES)


def train_recipe(
    recipe: ToyRecipe,
    *,
    on_epoch: Callable[[int], None] | None = None,
    on_frame: Callable[[int, DecisionMap], None] | None = None,
) -> TrainedToy:
    """Train a network in the plane and find out what `TrainedToy` knows of it.

    Args:
        recipe: what to train.
        on_epoch: called with each epoch's number, from 0; an exception it raises ends training.
        on_frame: called about `NUM_FRAMES` times with the number of epochs that are done, and the
            decision of the network as it is then.

    Raises:
        InputError: unknown data, or an unknown method.
    """
    points, test = points_of(recipe, recipe.seed), points_of(recipe, recipe.seed + 1)
    interval = max(1, recipe.epochs // NUM_FRAMES)

    def look(epoch: int, network: ToyNetwork) -> None:
        if on_frame is not None and epoch % interval == 0:
            on_frame(epoch, decision_map(network, REACH, GRID))

    network = train_toy(
        recipe.method,
        points,
        epochs=recipe.epochs,
        batch_size=BATCH_SIZE,
        seed=recipe.seed,
        epsilon=recipe.epsilon,
        on_epoch=on_epoch,
        on_network=look,
    )
    discriminator = _discriminator(network, points, recipe)
    network.requires_grad_(False)
    correct = correct_under_attack(network, test, RADII)
    shown = decision_map(network, REACH, GRID)
    return TrainedToy(recipe, network, points, test, shown, tuple(correct), discriminator)


def moves(trained: TrainedToy, epsilon: float) -> dict[str, Arrows]:
    """Return where each of `MOVES` takes some test points.

    The gradient is that of the cross-entropy, drawn with one length. PGD takes 10 steps of length
    2 from the point itself; Feature Scattering and LMAE take one step of length epsilon from a
    random start, as their training does; all three stay within L2 epsilon. A PAG target leads to
    the nearest training point of the other class.

    Args:
        trained: the network and its points.
        epsilon: L2, in units of the plane.
    """
    chosen = torch.linspace(0, len(trained.test.y) - 1, NUM_ARROWS).round().long()
    y = trained.test.y[chosen]
    x = as_images(trained.test.points[chosen])
    start = _plane(x)
    ends = {
        "gradient": start + GRADIENT_LENGTH * _directions(trained.network, x, y),
        "pgd": _plane(_pgd(trained.network, x, y, epsilon)),
        "feature_scattering": _plane(_scattered(trained, x, epsilon)),
        "lmae": _plane(_latent(trained, x, y, epsilon)),
        "target": start + _targets(trained, x, y),
    }
    return {name: Arrows(start, end) for name, end in ends.items()}


def num_correct(trained: TrainedToy, epsilon: float) -> int:
    """Return how many test points stay correct under PGD within L2 epsilon."""
    return correct_under_attack(trained.network, trained.test, [epsilon])[0]


def _directions(network: ToyNetwork, x: Tensor, y: Tensor) -> Tensor:
    found = input_gradient(network, x, lambda logits: cross_entropy(logits, y)).gradient
    return ThreatModel(Norm.L2, 1.0).ascent_direction(found).flatten(1)


def _pgd(network: ToyNetwork, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    attack = create_attack(
        "pgd",
        norm=Norm.L2,
        epsilon=_pixels(epsilon),
        step_size=_pixels(ATTACK_STEP_SIZE),
        num_steps=ATTACK_STEPS,
        random_start=False,
    )
    return attack(network, x, y)


def _scattered(trained: TrainedToy, x: Tensor, epsilon: float) -> Tensor:
    clean = predict_logits(trained.network, x)
    return _one_step(trained, x, lambda logits: transport_cost(clean, logits), epsilon)


def _latent(trained: TrainedToy, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    clean = trained.discriminator(predict_logits(trained.network, x))
    target = smooth_labels(y, trained.network.num_classes, SMOOTHING)

    def ease(logits: Tensor) -> Tensor:
        return -discriminator_losses(clean, trained.discriminator(logits), target).manifold

    return _one_step(trained, x, ease, epsilon)


def _one_step(
    trained: TrainedToy, x: Tensor, loss: Callable[[Tensor], Tensor], epsilon: float
) -> Tensor:
    threat_model = ThreatModel(Norm.L2, _pixels(epsilon))
    with torch.random.fork_rng():
        torch.manual_seed(trained.recipe.seed)
        return one_step_attack(trained.network, x, loss, threat_model).detach()


def _targets(trained: TrainedToy, x: Tensor, y: Tensor) -> Tensor:
    pool, labels = as_images(trained.train.points), trained.train.y
    own, nowhere = torch.full((len(x),), -2), torch.full_like(labels, -1)
    near = nearest_of_each_class(x, own, pool, nowhere, labels, trained.network.num_classes)
    wanted = towards(x, pool[near])[torch.arange(len(y)), 1 - y]  # [M, 1, 1, 2]
    return wanted.flatten(1) * 2 * HALF_WIDTH


def _discriminator(network: ToyNetwork, points: ToyPoints, recipe: ToyRecipe) -> Discriminator:
    """Train a discriminator on the finished network, whose weights stay as they are."""
    method = create_method(
        "atld",
        {
            "norm": Norm.L2,
            "epsilon": _pixels(recipe.epsilon),
            "label_smoothing": SMOOTHING,
            "discriminator_blocks": 1,
            "discriminator_width": 1,
        },
    )
    assert isinstance(method, ATLD)
    x = as_images(points.points)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        method.attach(network)
        for _ in range(DISCRIMINATOR_EPOCHS):
            for index in torch.randperm(len(x)).split(BATCH_SIZE):
                if len(index) > 1:  # batch norm needs two
                    method.training_loss(network, Batch(x[index], points.y[index], index))
    return method.discriminator.eval().requires_grad_(False)


def _plane(x: Tensor) -> Tensor:
    return (x.flatten(1) - 0.5) * 2 * HALF_WIDTH


def _pixels(distance: float) -> float:
    return distance / (2 * HALF_WIDTH)
