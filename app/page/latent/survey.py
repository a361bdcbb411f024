"""The latent space of one network under one attack: what a page shows, computed once and kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ui import cached
from app.ui.honesty import Interruptible
from robust_core.analysis.latent import (
    PathPoint,
    ProjectionName,
    accuracy_along,
    latent_features,
    natural_scores,
    project,
)
from robust_core.analysis.latent_distances import (
    ClassDistances,
    LayerDistances,
    class_distances,
    layer_distances,
)
from robust_core.attacks.base import Attack
from robust_core.checkpoints import catalog
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.trace import AttackTrace
from robust_core.gradients import predict_logits
from robust_core.inference.manifold_transformation import ManifoldTransformed
from robust_core.methods.base import TrainingMethod
from robust_core.models.base import Classifier
from robust_core.models.discriminator import Discriminator

Array = NDArray[np.float64]
T = TypeVar("T")

TRANSFORMATION = "imt"  # the inference of models that have a discriminator
MOST_SURVEYS, MOST_RESULTS = 8, 64
LAYER_IMAGES = 100  # whose outputs are compared layer by layer
FEWEST = 2  # images of a survey: one alone has no neighbours
PATH_STEPS = 10  # points on each leg of the path


@dataclass(frozen=True, eq=False)
class Survey:
    """Images of a sample, in every role that they play, and where the bare network puts them.

    Attributes:
        key: tells this survey from every other.
        images: the clean sample.
        pictures: role -> images [N,C,H,W]: clean; noisy, uniform in the attack's ball; adversarial;
            transformed, the IMT of the adversarial ones (models with a discriminator only).
        features: role -> [N,D]. predictions: role -> classes [N].
        scores: role -> D0 [N]; empty without a discriminator.
    """

    key: tuple
    images: ImageSet
    pictures: Mapping[str, Tensor]
    features: Mapping[str, Tensor]
    predictions: Mapping[str, Tensor]
    scores: Mapping[str, Tensor]

    def accuracy(self, role: str) -> float:
        """Return the bare network's accuracy on the images in that role, in [0, 1]."""
        return float((self.predictions[role] == self.images.y).double().mean())


def has_discriminator(info: CheckpointInfo) -> bool:
    """Return whether the checkpoint came with a discriminator (it was trained by ATLD)."""
    return TRANSFORMATION in info.inferences


def survey_key(info: CheckpointInfo, attack: Attack, target: int | None, num_images: int) -> tuple:
    """Return what identifies a survey: file, attacked use of its network, attack and sample."""
    return info.digest, info.inference, attack.name, attack, target, num_images


def known_survey(
    info: CheckpointInfo, attack: Attack, target: int | None, num_images: int
) -> Survey | None:
    """Return exactly this survey if it was made lately."""
    return _surveys().get(survey_key(info, attack, target, num_images))


def surveyed_images(info: CheckpointInfo, target: int | None, num_images: int) -> ImageSet:
    """Return the test images of a survey.

    Raises:
        InputError: there are fewer than two, or they cannot be loaded.
    """
    images = cached.load_images(info).sample(num_images)
    if target is not None:
        images = images.subset(images.y != target)
    if len(images) < FEWEST:
        besides = "" if target is None else f" besides those of {info.class_names[target]}"
        raise InputError(
            f"distances between features need at least {FEWEST} test images{besides}, got "
            f"{len(images)}"
        )
    return images


def make_survey(
    info: CheckpointInfo,
    attack: Attack,
    target: int | None,
    num_images: int,
    *,
    check: Callable[[], None],
    on_progress: Callable[[int], None] | None = None,
) -> Survey:
    """Attack the first test images and return where clean and changed ones lie.

    Args:
        info: the use of the network that is attacked; features are always those of the bare one.
        attack: the attack; its seed draws the noise, too.
        target: class to reach, whose own images are left out; None: any wrong class.
        num_images: images taken from the test split, in its order.
        check: ends the work by raising `cached.Superseded`.
        on_progress: told the forward passes of the attack so far.

    Raises:
        InputError: the checkpoint or its images cannot be loaded.
    """
    key = survey_key(info, attack, target, num_images)
    found = _surveys().get(key)
    if found is not None:
        return found
    network, discriminator = bare_network(info)
    model, images = cached.load_model(info), surveyed_images(info, target, num_images)
    goal = None if target is None else torch.full_like(images.y, target)
    count = 0

    def observe() -> None:
        nonlocal count
        check()
        count += 1
        if on_progress is not None:
            on_progress(count)

    with cached.heavy_work(check):
        x_adv = attack(Interruptible(model, observe), images.x, images.y, target=goal)
        generator = torch.Generator().manual_seed(attack.seed)
        pictures: dict[str, Tensor] = {
            "clean": images.x,
            "noisy": attack.threat_model.random_start(images.x, generator),
            "adversarial": x_adv,
        }
        transformed = transform(info, x_adv)
        if transformed is not None:
            pictures["transformed"] = transformed
        found = _describe(key, images, pictures, network, discriminator)
    _surveys().put(key, found)
    return found


def _describe(
    key: tuple,
    images: ImageSet,
    pictures: dict[str, Tensor],
    network: Classifier,
    discriminator: Discriminator | None,
) -> Survey:
    features = {role: latent_features(network, x) for role, x in pictures.items()}
    predictions = {role: predict_logits(network, x).argmax(dim=1) for role, x in pictures.items()}
    scores: dict[str, Tensor] = {}
    if discriminator is not None:
        scores = {role: natural_scores(network, discriminator, x) for role, x in pictures.items()}
    return Survey(key, images, pictures, features, predictions, scores)


def transform(info: CheckpointInfo, x: Tensor) -> Tensor | None:
    """Return the manifold transformation of images [N,C,H,W]; None for a model without one."""
    return transformation(info).transform(x).detach() if has_discriminator(info) else None


def transformation(info: CheckpointInfo) -> ManifoldTransformed:
    """Return the transformation (IMT) of a checkpoint with a discriminator, in eval mode."""
    network, method = _trained(base_name(info), info.digest)
    through = method.inference(TRANSFORMATION, network).eval()
    assert isinstance(through, ManifoldTransformed), "only ATLD has an inference of that name"
    return through


def bare_network(info: CheckpointInfo) -> tuple[Classifier, Discriminator | None]:
    """Return the network of a checkpoint as it is, and its discriminator if it has one."""
    network, method = _trained(base_name(info), info.digest)
    found = getattr(method, "discriminator", None)
    return network, found if isinstance(found, Discriminator) else None


def base_name(info: CheckpointInfo) -> str:
    """Return the reference of the network itself: "digits-atld" for "digits-atld:imt"."""
    return info.name.removesuffix(f":{info.inference}") if info.inference else info.name


@st.cache_resource(max_entries=4, show_spinner="Loading the model …")
def _trained(name: str, digest: str) -> tuple[Classifier, TrainingMethod]:
    trained = catalog.load_trained(name)
    if catalog.checkpoint_info(name).digest != digest:
        raise InputError(f"{name} was replaced while it was being read; try again")
    return trained


@dataclass(frozen=True, eq=False)
class Layout:
    """Places in the plane or in space, all in axes fitted on the clean features alone.

    places: role -> [N,d]. path: [T,d], the iterates of one image. explained: share of the clean
    variance along each axis (PCA), else None.
    """

    places: Mapping[str, Array]
    path: Array
    explained: Array | None


@dataclass(frozen=True, eq=False)
class ImagePath:
    """One image on its way through an attack: features [T,D] and predictions [T] of its iterates.

    num_iterates: the clean image and the iterates; one more point is the transformed end.
    """

    key: tuple
    features: Tensor
    predictions: Tensor
    num_iterates: int


def image_path(info: CheckpointInfo, trace: AttackTrace) -> ImagePath:
    """Return the way of an attacked image: clean, iterates of the last restart, result, its IMT."""
    key = (info.digest, info.inference, trace.x.tobytes(), trace.x_adv.tobytes(), len(trace.frames))

    def compute() -> ImagePath:
        network, _ = bare_network(info)
        last = trace.frames[-1]
        frames = [frame.x_adv for frame in trace.frames if frame.restart == last.restart]
        stops = torch.from_numpy(np.stack([trace.x, *frames]))
        transformed = transform(info, stops[-1:])
        x = stops if transformed is None else torch.cat([stops, transformed])
        classes = predict_logits(network, x).argmax(dim=1)
        return ImagePath(key, latent_features(network, x), classes, len(stops))

    return _kept(("path", *key), compute)


def lay_out(
    survey: Survey, path: ImagePath, name: ProjectionName, num_dimensions: int, seed: int
) -> Layout:
    """Return the map of a survey and a path; see `robust_core.analysis.latent.project`.

    Raises:
        InputError: UMAP is not installed, or there are too few images.
    """

    def compute() -> Layout:
        roles = [role for role in survey.features if role != "clean"]
        moved = torch.cat([*(survey.features[role] for role in roles), path.features])
        found = project(
            survey.features["clean"], moved, name, num_dimensions=num_dimensions, seed=seed
        )
        n = len(survey.images)
        places: dict[str, Array] = {"clean": found.clean}
        for number, role in enumerate(roles):
            places[role] = found.adversarial[number * n : (number + 1) * n]
        return Layout(places, found.adversarial[len(roles) * n :], found.explained)

    return _kept(("layout", survey.key, path.key, name, num_dimensions, seed), compute)


def distances(survey: Survey, role: str) -> list[ClassDistances]:
    """Return how far the features of a role lie from the clean ones: all images, then classes."""

    def compute() -> list[ClassDistances]:
        return class_distances(survey.features["clean"], survey.features[role], survey.images.y)

    return _kept(("distances", survey.key, role), compute)


def layers(info: CheckpointInfo, survey: Survey, role: str) -> list[LayerDistances]:
    """Return how far the output of each layer of the bare network lies from its clean one."""

    def compute() -> list[LayerDistances]:
        network, _ = bare_network(info)
        chosen = slice(0, LAYER_IMAGES)
        clean, x = survey.pictures["clean"][chosen], survey.pictures[role][chosen]
        return layer_distances(network, clean, x, survey.images.y[chosen])

    return _kept(("layers", survey.key, role), compute)


def accuracy_path(info: CheckpointInfo, survey: Survey) -> list[PathPoint]:
    """Return the bare network's accuracy on the way clean -> adversarial -> transformed."""

    def compute() -> list[PathPoint]:
        network, _ = bare_network(info)
        on_the_way: tuple[str, ...] = ("clean", "adversarial", "transformed")
        stops = [survey.pictures[role] for role in on_the_way if role in survey.pictures]
        return accuracy_along(network, stops, survey.images.y, num_steps=PATH_STEPS)

    return _kept(("accuracy path", survey.key), compute)


def _kept(key: tuple, compute: Callable[[], T]) -> T:
    found = _results().get(key)
    if found is None:
        with cached.heavy_work():
            found = compute()
        _results().put(key, found)
    return found


@st.cache_resource
def _surveys() -> cached.Recent[Survey]:
    return cached.Recent(MOST_SURVEYS)


@st.cache_resource
def _results() -> cached.Recent:
    return cached.Recent(MOST_RESULTS)
