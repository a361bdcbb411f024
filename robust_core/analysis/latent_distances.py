"""How far an attack moves features: class by class, and layer by layer.

Pure functions of feature matrices. All of them are Euclidean, so the outputs of a layer can be
given in any orthonormal basis of the space that they span.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from robust_core.models.modes import evaluation_mode

NEIGHBOURS = 10


@dataclass(frozen=True)
class ClassDistances:
    """How far the attack moved the features of one class, or of all images (label None).

    All are 0 (overlap 1) if nothing moved, but for the spread.

    Attributes:
        label: the class, None for all images.
        num_images: N.
        drift: length of the way of the centroid.
        mmd: maximum mean discrepancy, in [0, sqrt 2].
        wasserstein: 1-D Wasserstein distance of the features' shadows on the direction of the
            drift.
        overlap: share of its clean neighbours that an image keeps, in [0, 1].
        relative: mean of ||h(x_adv) - h(x)||_2 / ||h(x)||_2 over images.
        angle: mean of 1 - cos(h(x_adv), h(x)) over images, in [0, 2].
        spread: root mean squared distance of clean features from their centroid, the yardstick
            for drift and Wasserstein distance.
    """

    label: int | None
    num_images: int
    drift: float
    mmd: float
    wasserstein: float
    overlap: float
    relative: float
    angle: float
    spread: float

    @property
    def drift_in_spreads(self) -> float:
        """Return drift / spread, which can be compared between layers; NaN without a spread."""
        return self.drift / self.spread if self.spread > 0 else math.nan

    @property
    def wasserstein_in_spreads(self) -> float:
        """Return wasserstein / spread; NaN without a spread."""
        return self.wasserstein / self.spread if self.spread > 0 else math.nan


def class_distances(clean: Tensor, adversarial: Tensor, y: Tensor) -> list[ClassDistances]:
    """Return the distances of all images together and then of each class that has at least two.

    Args:
        clean: features [N,D].
        adversarial: features of the same images, in the same order, [N,D].
        y: labels [N].
    """
    kept = neighbour_overlap(clean, adversarial)
    way = (adversarial - clean).norm(dim=1)
    relative = way / clean.norm(dim=1).clamp_min(1e-12)
    angle = 1.0 - torch.cosine_similarity(clean, adversarial, dim=1)
    rows: list[tuple[int | None, Tensor]] = [(None, torch.ones_like(y, dtype=torch.bool))]
    rows += [(int(label), y == label) for label in y.unique()]
    return [
        ClassDistances(
            label,
            int(rows_of.sum()),
            drift=centroid_drift(clean[rows_of], adversarial[rows_of]),
            mmd=maximum_mean_discrepancy(clean[rows_of], adversarial[rows_of]),
            wasserstein=wasserstein_along_drift(clean[rows_of], adversarial[rows_of]),
            overlap=kept[rows_of].mean().item(),
            relative=relative[rows_of].mean().item(),
            angle=angle[rows_of].mean().item(),
            spread=spread(clean[rows_of]),
        )
        for label, rows_of in rows
        if int(rows_of.sum()) > 1
    ]


def centroid_drift(clean: Tensor, adversarial: Tensor) -> float:
    """Return ||mean(adversarial) - mean(clean)||_2: [N,D], [M,D]."""
    return float((adversarial.double().mean(dim=0) - clean.double().mean(dim=0)).norm())


def spread(features: Tensor) -> float:
    """Return the root mean squared distance of features [N,D] from their centroid."""
    points = features.double()
    return float((points - points.mean(dim=0)).square().sum(dim=1).mean().sqrt())


def maximum_mean_discrepancy(clean: Tensor, adversarial: Tensor) -> float:
    """Return the MMD between two samples [N,D], [M,D] under a Gaussian kernel, in [0, sqrt 2].

    MMD^2 = mean k(a, a') + mean k(b, b') - 2 mean k(a, b), k = exp(-||.||^2 / (2 s^2)), the biased
    estimate, with s the median of all distances between different points of both samples.

    Source: Gretton, Borgwardt, Rasch, Schoelkopf and Smola, "A Kernel Two-Sample Test", JMLR 13
    (2012), eq. 5 and section 8.
    """
    points = torch.cat([clean, adversarial]).double()
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    width = float(distance[tuple(torch.triu_indices(len(points), len(points), 1))].median())
    if width == 0.0:
        width = float(distance.max()) or 1.0  # most points coincide
    kernel = torch.exp(-distance.square() / (2 * width**2))
    n = len(clean)
    squared = kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
    return float(squared.clamp_min(0.0).sqrt())


def wasserstein_along_drift(clean: Tensor, adversarial: Tensor) -> float:
    """Return the 1-D Wasserstein-1 distance after projection on the centroid's way: [N,D], [M,D].

    At least the drift itself; more where the features spread along it. 0 without a drift.
    """
    way = adversarial.double().mean(dim=0) - clean.double().mean(dim=0)
    length = way.norm()
    if length == 0:
        return 0.0
    direction = way / length
    shadows = [(points.double() @ direction).numpy() for points in (clean, adversarial)]
    return float(wasserstein_distance(*shadows))


def neighbours_among(num_images: int, num_neighbours: int = NEIGHBOURS) -> int:
    """Return the number of neighbours k that an overlap counts: at most all other images."""
    return min(num_neighbours, num_images - 1)


def neighbour_overlap(
    clean: Tensor, adversarial: Tensor, num_neighbours: int = NEIGHBOURS
) -> Tensor:
    """Return for each image the share of its clean neighbours that it keeps: float [N] in [0, 1].

    The k nearest clean features of other images, found from the clean and from the adversarial
    feature of an image; see `neighbours_among` for k.
    """
    k = neighbours_among(len(clean), num_neighbours)
    itself = torch.eye(len(clean), dtype=torch.bool)
    before, after = (
        torch.cdist(points.double(), clean.double())
        .masked_fill(itself, float("inf"))
        .topk(k, dim=1, largest=False)
        .indices
        for points in (clean, adversarial)
    )  # [N, k]
    return (before[:, :, None] == after[:, None]).any(dim=2).double().mean(dim=1)


@dataclass(frozen=True)
class LayerDistances:
    """How far the attack moved the output of one layer.

    layer: its name in the network. rows: all images together, then class by class.
    """

    layer: str
    rows: list[ClassDistances]


@torch.no_grad()
def layer_distances(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> list[LayerDistances]:
    """Return the distances after every convolution and linear layer, in the order of use.

    What a layer says to several views of each image, the views first, is averaged over them. A
    stochastic model draws its noise again for every image, and that counts as distance.

    Args:
        model: in eval mode while this runs; left unchanged. A layer used twice counts twice.
        x: clean images [N,C,H,W] in [0, 1].
        x_adv: attacked ones, in the same order.
        y: labels [N].
    """
    found: list[LayerDistances] = []

    both = torch.cat([x, x_adv])

    def measure(layer: str, output: Tensor) -> None:
        every_view = output.cpu().double().flatten(1).unflatten(0, (-1, len(both)))  # [V, 2N, D]
        clean, attacked = short_coordinates(every_view.mean(dim=0)).split(len(x))
        found.append(LayerDistances(layer, class_distances(clean, attacked, y.cpu())))

    _visit_layers(model, both, measure)
    return found


def short_coordinates(points: Tensor) -> Tensor:
    """Return M points [M,D] in an orthonormal basis of their span: [M, min(M, D)].

    All inner products stay the same, and so do lengths, distances and angles: with A^T = Q R,
    A A^T = R^T R. A layer has many more numbers than there are images, which makes this cheap.
    """
    if points.shape[1] <= len(points):
        return points
    return torch.linalg.qr(points.T, mode="r").R.T


def _visit_layers(model: nn.Module, x: Tensor, visit: Callable[[str, Tensor], None]) -> None:
    """Call `visit` with name and output of each convolution and linear layer as it is used."""
    shared = {id(value): value for value in (*model.parameters(), *model.buffers())}
    clone = copy.deepcopy(model, shared)  # hooks on a shared model would be seen by others

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: visit(name, output)

    for name, module in clone.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note(name))
    with evaluation_mode(clone):
        clone(x)
