"""The playground in the plane: networks that train in seconds, and what moves points in it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ui import cached
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
from robust_core.threat_model import Norm, ThreatModel

Array = NDArray[np.float32]

DATA = {"line": "Clusters on a line", "moons": "Two moons"}
METHODS = {
    "standard": "Standard",
    "pgd_at": "PGD training",
    "pag": "PAG (aligned gradients)",
    "feature_scattering": "Feature Scattering",
    "atld": "ATLD",
}
LAYERS = {
    "gradient": "Gradient",
    "pgd": "PGD",
    "feature_scattering": "Feature Scattering",
    "lmae": "LMAE",
    "target": "PAG targets",
}
BATCH_SIZE = 32
LARGEST_EPSILON = ATTACK_STEPS * ATTACK_STEP_SIZE  # of a slider: how far the attack can reach
NUM_ARROWS = 16
GRADIENT_LENGTH = 10.0  # of a gradient's arrow, in units of the plane: only its direction counts
DISCRIMINATOR_EPOCHS = 12
REACH, GRID = 80.0, 81
MOST_NETWORKS = 32
RADII = (0.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.5, 20.0)


@dataclass(frozen=True)
class Recipe:
    """What is trained in the plane.

    data: one of `DATA`. method: one of `METHODS`. num_points: training points in all; as many are
    tested. epochs: passes over them. epsilon: radius of the training attack in units of the plane.
    seed: of points, weights and order; the test points have the next one.
    """

    data: str
    method: str
    num_points: int
    epochs: int
    epsilon: float
    seed: int


@dataclass(frozen=True, eq=False)
class Trained:
    """A network in the plane, in eval mode and frozen, with its points and what is known of it.

    correct: how many test points are right under attack at each of `RADII`. discriminator: tells
    the network's clean outputs from those of its latent manifold adversarial examples.
    """

    recipe: Recipe
    network: ToyNetwork
    train: ToyPoints
    test: ToyPoints
    map: DecisionMap
    correct: tuple[int, ...]
    discriminator: Discriminator


@dataclass(frozen=True, eq=False)
class Arrows:
    """Moves in the plane: from `start` to `end`, both [M,2]."""

    start: Array
    end: Array


def points_of(recipe: Recipe, seed: int) -> ToyPoints:
    """Return `num_points` points of the recipe's data."""
    if recipe.data == "moons":
        return draw_moons(recipe.num_points // 2, seed)
    return draw_points(recipe.num_points // 4, seed, FEW_CENTRES)


def known(recipe: Recipe) -> Trained | None:
    """Return the network of exactly this recipe if it was trained lately."""
    return _networks().get(_key(recipe))


def train(
    recipe: Recipe, *, check: Callable[[], None], on_share: Callable[[float], None]
) -> Trained:
    """Train a network, or return the one that was trained before.

    Args:
        recipe: what to train.
        check: called at every epoch; ends training by raising `cached.Superseded`.
        on_share: told how far it is, in [0, 1].
    """
    found = known(recipe)
    if found is not None:
        return found
    points, test = points_of(recipe, recipe.seed), points_of(recipe, recipe.seed + 1)

    def observe(epoch: int) -> None:
        check()
        on_share(epoch / (recipe.epochs + 1))

    with cached.heavy_work(check):
        network = train_toy(
            recipe.method,
            points,
            epochs=recipe.epochs,
            batch_size=BATCH_SIZE,
            seed=recipe.seed,
            epsilon=recipe.epsilon,
            on_epoch=observe,
        )
        discriminator = _discriminator(network, points, recipe)
        network.requires_grad_(False)
        correct = correct_under_attack(network, test, RADII)
        shown = decision_map(network, REACH, GRID)
    found = Trained(recipe, network, points, test, shown, tuple(correct), discriminator)
    _networks().put(_key(recipe), found)
    return found


def moves(trained: Trained, epsilon: float) -> dict[str, Arrows]:
    """Return what each of `LAYERS` does to some test points.

    The gradient is that of the cross-entropy, drawn with one length. PGD takes 10 steps of length
    2 from the point itself; Feature Scattering and LMAE take one step of length epsilon from a
    random start, as their training does; all three stay within L2 epsilon. A PAG target leads to
    the nearest training point of the other class.

    Args:
        trained: the network and its points.
        epsilon: radius in units of the plane.
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


def right_at(trained: Trained, epsilon: float) -> int:
    """Return how many test points stay right under PGD within L2 epsilon."""
    return correct_under_attack(trained.network, trained.test, [epsilon])[0]


def _directions(network: ToyNetwork, x: Tensor, y: Tensor) -> Array:
    found = input_gradient(network, x, lambda logits: cross_entropy(logits, y)).gradient
    return ThreatModel(Norm.L2, 1.0).ascent_direction(found).flatten(1).numpy()


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


def _scattered(trained: Trained, x: Tensor, epsilon: float) -> Tensor:
    clean = predict_logits(trained.network, x)
    return _one_step(trained, x, lambda logits: transport_cost(clean, logits), epsilon)


def _latent(trained: Trained, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    clean = trained.discriminator(predict_logits(trained.network, x))
    target = smooth_labels(y, trained.network.num_classes, SMOOTHING)

    def ease(logits: Tensor) -> Tensor:
        return -discriminator_losses(clean, trained.discriminator(logits), target).manifold

    return _one_step(trained, x, ease, epsilon)


def _one_step(
    trained: Trained, x: Tensor, loss: Callable[[Tensor], Tensor], epsilon: float
) -> Tensor:
    ball = ThreatModel(Norm.L2, _pixels(epsilon))
    with torch.random.fork_rng():
        torch.manual_seed(trained.recipe.seed)
        return one_step_attack(trained.network, x, loss, ball).detach()


def _targets(trained: Trained, x: Tensor, y: Tensor) -> Array:
    pool, labels = as_images(trained.train.points), trained.train.y
    own, nowhere = torch.full((len(x),), -2), torch.full_like(labels, -1)
    near = nearest_of_each_class(x, own, pool, nowhere, labels, trained.network.num_classes)
    wanted = towards(x, pool[near])[torch.arange(len(y)), 1 - y]  # [M, 1, 1, 2]
    return (wanted.flatten(1) * 2 * HALF_WIDTH).numpy()


def _discriminator(network: ToyNetwork, points: ToyPoints, recipe: Recipe) -> Discriminator:
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


def _plane(x: Tensor) -> Array:
    return ((x.flatten(1) - 0.5) * 2 * HALF_WIDTH).numpy()


def _pixels(distance: float) -> float:
    return distance / (2 * HALF_WIDTH)


def _key(recipe: Recipe) -> tuple:
    return (recipe,)


@st.cache_resource
def _networks() -> cached.Recent[Trained]:
    return cached.Recent(MOST_NETWORKS)
