"""Images of a sample in every role that they play, and where a network's features put them.

Roles: clean; noisy, uniform in the attack's threat model; adversarial; and, for a model that ATLD
has trained, transformed: the manifold transformation of the adversarial images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust_core.analysis.latent import (
    PathPoint,
    ProjectionName,
    accuracy_along,
    latent_outputs,
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
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.batch import watched
from robust_core.inference.manifold_transformation import ManifoldTransformed
from robust_core.methods.base import TrainingMethod
from robust_core.models.base import Classifier
from robust_core.models.discriminator import Discriminator

Array = NDArray[Any]

TRANSFORMATION = "imt"  # the inference mode of models that have a discriminator
FEWEST = 2  # images of a sample: one alone has no neighbours
WAY = ("clean", "adversarial", "transformed")


@dataclass(frozen=True, eq=False)
class BaseNetwork:
    """The network of a checkpoint as it is, and what ATLD has trained beside it.

    Attributes:
        network: in eval mode; its features are looked at.
        discriminator: evaluates its logits; None of another method.
        transformation: the network behind the manifold transformation (IMT); None likewise.
    """

    network: Classifier
    discriminator: Discriminator | None = None
    transformation: ManifoldTransformed | None = None

    @classmethod
    def of(cls, network: Classifier, method: TrainingMethod | None) -> "BaseNetwork":
        """Return network and parts of a trained pair, as `load_trained` gives it."""
        discriminator = getattr(method, "discriminator", None)
        if method is None or not isinstance(discriminator, Discriminator):
            return cls(network)
        through = method.inference(TRANSFORMATION, network).eval()
        assert isinstance(through, ManifoldTransformed), "only ATLD has a discriminator"
        return cls(network, discriminator, through)

    def transform(self, x: Tensor) -> Tensor | None:
        """Return the manifold transformation of images [N,C,H,W]; None without one."""
        return None if self.transformation is None else self.transformation.transform(x).detach()


@dataclass(frozen=True, eq=False)
class LatentSample:
    """N images in every role, and where the base network puts them.

    Attributes:
        images: the clean sample.
        pictures: role -> images [N,C,H,W].
        features: role -> float32 [N,D]. predictions: role -> classes int64 [N].
        scores: role -> D0, how natural the discriminator finds them, [N]; empty without one.
    """

    images: ImageSet
    pictures: Mapping[str, Tensor]
    features: Mapping[str, Tensor]
    predictions: Mapping[str, Tensor]
    scores: Mapping[str, Tensor]

    def accuracy(self, role: str) -> float:
        """Return the base network's accuracy on the images in that role, in [0, 1]."""
        return float((self.predictions[role] == self.images.y).double().mean())

    def distances(self, role: str) -> list[ClassDistances]:
        """Return how far the features of a role lie from the clean ones: all, then classes."""
        return class_distances(self.features["clean"], self.features[role], self.images.y)

    def layer_distances(
        self, network: Classifier, role: str, num_images: int
    ) -> list[LayerDistances]:
        """Return the same for the output of every layer, of the first `num_images` images."""
        chosen = slice(0, num_images)
        clean, x = self.pictures["clean"][chosen], self.pictures[role][chosen]
        return layer_distances(network, clean, x, self.images.y[chosen])

    def accuracy_along(self, network: Classifier, *, num_steps: int = 10) -> list[PathPoint]:
        """Return the accuracy on the straight way clean -> adversarial -> transformed.

        With `num_steps` points on each leg.
        """
        stops = [self.pictures[role] for role in WAY if role in self.pictures]
        return accuracy_along(network, stops, self.images.y, num_steps=num_steps)


def without_target(images: ImageSet, target: int | None) -> ImageSet:
    """Return the images of a sample that can be led to a target class: those of all others.

    Raises:
        InputError: fewer than two are left, which have no distances.
    """
    besides = ""
    if target is not None:
        besides = f" besides those of {images.class_names[target]}"
        images = images.subset(images.y != target)
    if len(images) < FEWEST:
        raise InputError(
            f"distances between features need at least {FEWEST} test images{besides}, got "
            f"{len(images)}"
        )
    return images


def latent_sample(
    base: BaseNetwork,
    model: nn.Module,
    images: ImageSet,
    attack: Attack,
    *,
    target: int | None = None,
    on_pass: Callable[[], None] | None = None,
) -> LatentSample:
    """Attack images and return where clean and changed ones lie.

    Args:
        base: the network whose features count, with what it came with.
        model: what is attacked: the base network or an inference mode of it.
        images: of `without_target`.
        attack: the attack; its seed draws the noise, too.
        target: class to reach; None: any wrong class.
        on_pass: called at every forward pass of the attack; an exception it raises ends the work.
    """
    criterion = None if target is None else torch.full_like(images.y, target)
    x_adv = attack(watched(model, on_pass), images.x, images.y, target=criterion)
    generator = torch.Generator().manual_seed(attack.seed)
    pictures = {
        "clean": images.x,
        "noisy": attack.threat_model.random_start(images.x, generator),
        "adversarial": x_adv,
    }
    transformed = base.transform(x_adv)
    if transformed is not None:
        pictures["transformed"] = transformed
    features, predictions, scores = {}, {}, {}
    for role, x in pictures.items():
        features[role], logits = latent_outputs(base.network, x)
        predictions[role] = logits.argmax(dim=1)
        if base.discriminator is not None:
            scores[role] = natural_scores(base.discriminator, logits)
    return LatentSample(images, pictures, features, predictions, scores)


@dataclass(frozen=True, eq=False)
class ImagePath:
    """One image on its way through an attack.

    Attributes:
        features: of its iterates, float32 [T,D].
        predictions: classes int64 [T].
        num_iterates: the clean image and the iterates; one more point is the transformed end.
    """

    features: Tensor
    predictions: Tensor
    num_iterates: int


def image_path(base: BaseNetwork, iterates: Sequence[Tensor]) -> ImagePath:
    """Return the way of an image: its iterates [C,H,W], clean first, and the last one's IMT."""
    stops = torch.stack(list(iterates))
    transformed = base.transform(stops[-1:])
    x = stops if transformed is None else torch.cat([stops, transformed])
    features, logits = latent_outputs(base.network, x)
    return ImagePath(features, logits.argmax(dim=1), len(stops))


@dataclass(frozen=True, eq=False)
class Layout:
    """Places in the plane or in space, all in axes fitted on the clean features alone.

    Attributes:
        places: role -> [N,d]. path: [T,d], the iterates of one image.
        explained: share of the clean variance along each axis (PCA), else None.
    """

    places: Mapping[str, Array]
    path: Array
    explained: Array | None


def lay_out(
    sample: LatentSample,
    path: ImagePath,
    name: ProjectionName,
    *,
    num_dimensions: int = 2,
    seed: int = 0,
) -> Layout:
    """Return the map of a sample and a path; see `latent.project`.

    Raises:
        InputError: too few images, or t-SNE of features that are all the same.
    """
    clean, n = sample.features["clean"], len(sample.images)
    roles = [role for role in sample.features if role != "clean"]
    moved = torch.cat([*(sample.features[role] for role in roles), path.features])
    found = project(clean, moved, name, num_dimensions=num_dimensions, seed=seed)
    places: dict[str, Array] = {"clean": found.clean}
    for number, role in enumerate(roles):
        places[role] = found.adversarial[number * n : (number + 1) * n]
    return Layout(places, found.adversarial[len(roles) * n :], found.explained)
