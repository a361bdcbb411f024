"""The latent space under attack: where features go, and what a discriminator makes of it.

Pure functions. The axes of PCA are fitted on clean features only, and adversarial ones are placed
in them; t-SNE, which is no map, lays out all of them together. How far they went in numbers is in
`latent_distances`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.gradients import check_logits, predict_logits
from robust_core.losses import accuracy_count, margin
from robust_core.models.base import Classifier
from robust_core.models.discriminator import Discriminator
from robust_core.models.guard import features_of
from robust_core.models.modes import evaluation_mode

Array = NDArray[Any]
ProjectionName = Literal["pca", "tsne"]

FEWEST_PROJECTED = 10  # clean features of a projection
SURE = 1e-6  # a score nearer to 0 or 1 than this counts as this near


@torch.no_grad()
def latent_outputs(model: nn.Module, x: Tensor, *, batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """Return features and logits of images in one pass, on the CPU: float32 [N,D], [N,K].

    Args:
        model: a `Classifier`, whose head makes the logits of the features.
        x: images [N,C,H,W] in [0, 1].
        batch_size: images that go through the network together.

    Raises:
        InputError: the model has no features to show.
    """
    features_of(model)  # raises where there are none
    assert isinstance(model, Classifier), "a wrapper has no head"
    with evaluation_mode(model):
        features = [model.features(part) for part in x.split(batch_size)]
        logits = [check_logits(model.head(part), len(part)) for part in features]
    return torch.cat(features).float().cpu(), torch.cat(logits).float().cpu()


@dataclass(frozen=True)
class Projection:
    """Clean and adversarial features in the same axes.

    clean [N,d] and adversarial [M,d] with d = 2 or 3; explained: share of the clean variance along
    each axis (PCA), else None.
    """

    clean: Array
    adversarial: Array
    explained: Array | None = None


def project(
    clean: Tensor,
    adversarial: Tensor,
    name: ProjectionName = "pca",
    *,
    num_dimensions: int = 2,
    seed: int = 0,
) -> Projection:
    """Return features in the plane or in space.

    PCA is fitted on the clean features only and maps the others exactly. t-SNE is no map: it lays
    out the points that it is given, here all of them together, so its clean layout depends on the
    adversarial points, too.

    Args:
        clean: [N,D], N at least 10.
        adversarial: [M,D].
        name: "pca" or "tsne", both of scikit-learn.
        num_dimensions: 2 or 3.
        seed: of the layout.

    Raises:
        InputError: a wrong name, dimension or shape; t-SNE of features that are all the same.
    """
    if num_dimensions not in (2, 3):
        raise InputError(f"a projection has 2 or 3 dimensions, got {num_dimensions}")
    if len(clean) < FEWEST_PROJECTED:
        least = f"at least {FEWEST_PROJECTED} clean images"
        raise InputError(f"a map needs the features of {least}, got {len(clean)}")
    if clean.shape[1:] != adversarial.shape[1:]:
        raise InputError(
            "clean features [N,D] and adversarial ones must have the same D, got "
            f"{list(clean.shape)} and {list(adversarial.shape)}"
        )
    fixed, moved = clean.double().numpy(), adversarial.double().numpy()
    match name:
        case "pca":
            with np.errstate(invalid="ignore"):  # without variance its shares are 0 / 0
                axes = PCA(min(num_dimensions, *fixed.shape), random_state=seed).fit(fixed)
            pad = ((0, 0), (0, num_dimensions - axes.n_components_))
            places = [np.pad(axes.transform(points), pad) for points in (fixed, moved)]
            explained = np.nan_to_num(axes.explained_variance_ratio_)
            return Projection(places[0], places[1], np.pad(explained, pad[1]))
        case "tsne":
            points = np.concatenate([fixed, moved])
            if not np.ptp(points, axis=0).any():  # scikit-learn divides by their spread and crashes
                raise InputError(
                    "a t-SNE map needs features that differ, and the network has the same for all "
                    f"{len(fixed)} clean images"
                )
            perplexity = min(30.0, (len(points) - 1) / 3)
            layout = TSNE(num_dimensions, perplexity=perplexity, init="pca", random_state=seed)
            missing = max(0, num_dimensions - fixed.shape[1])  # its start needs as many features
            placed = layout.fit_transform(np.pad(points, ((0, 0), (0, missing))))
            return Projection(placed[: len(fixed)], placed[len(fixed) :])
        case _:
            known = ", ".join(get_args(ProjectionName))
            raise InputError(f"a projection must be one of {known}, got {name!r}")


@torch.no_grad()
def natural_scores(discriminator: Discriminator, logits: Tensor) -> Tensor:
    """Return D0 of logits [N,K]: float32 [N] in (0, 1), near 1 where the images are natural."""
    with evaluation_mode(discriminator):
        return discriminator(logits).manifold.sigmoid().cpu()


def score_histogram(scores: Tensor, num_bins: int = 40) -> tuple[Array, Array]:
    """Return the share of scores [N] in each of `num_bins` bins of [0, 1], and the bins' edges."""
    counts, edges = np.histogram(scores.numpy(), bins=num_bins, range=(0.0, 1.0))
    return counts / max(len(scores), 1), edges


@dataclass(frozen=True)
class DivergenceBound:
    """What a discriminator proves about the divergence of two laws, in nats.

    value: estimate of the lower bound, at most log 2 = 0.693; 0 or less proves nothing. margin:
    half the width of its 95 % interval, 1.96 standard errors over the images.
    """

    value: float
    margin: float


def divergence_bound(clean: Tensor, changed: Tensor) -> DivergenceBound:
    """Return a lower bound of the Jensen-Shannon divergence of clean and changed images.

    JS(p, q) >= log 2 + (E_p log D0 + E_q log(1 - D0)) / 2 = log 2 - (BCE_clean + BCE_changed) / 2

    for the laws of whatever D0 is shown (ATLD: logits) and for ANY function D0 into (0, 1), with
    equality for p / (p + q) alone: a poor discriminator makes the bound low, never wrong. The mean
    over images estimates it without bias if the discriminator was not fitted to these images; one
    of the training split needs no further split to be asked about test images. Scores are clipped
    to [1e-6, 1 - 1e-6], which is a discriminator as well and keeps the bound finite where the
    sigmoid has saturated.

    Source: Qian et al., arXiv:2107.04401, eqs. B.1 to B.19 (the variational bound, with "1 - log D"
    read as log(1 - D), natural logarithms); Goodfellow et al., "Generative Adversarial Nets",
    NeurIPS 2014, arXiv:1406.2661, theorem 1.

    Args:
        clean: scores [N] in [0, 1] of clean images, such as `natural_scores`; N at least 2.
        changed: scores [N] of the same images, changed.
    """
    natural = clean.double().clamp(SURE, 1.0 - SURE)
    other = changed.double().clamp(SURE, 1.0 - SURE)
    terms = (natural.log() + torch.log1p(-other)) / 2  # [N]; pairs, so their errors may cancel
    error = float(terms.std()) / math.sqrt(len(terms))
    return DivergenceBound(math.log(2.0) + float(terms.mean()), 1.96 * error)


@dataclass(frozen=True)
class PathPoint:
    """Accuracy and mean margin z_y - max of the others at a place on a path of images.

    position: 0 at the first stop, 1 at the second, and so on.
    """

    position: float
    accuracy: float
    margin: float


def accuracy_along(
    model: nn.Module, stops: Sequence[Tensor], y: Tensor, *, num_steps: int = 10
) -> list[PathPoint]:
    """Return what the model makes of the straight way from stop to stop.

    Such as x -> x_adv -> its transformed image, to see where the prediction is lost and regained.

    Args:
        model: maps [N,C,H,W] to logits.
        stops: at least two batches [N,C,H,W] of the same images.
        y: labels [N].
        num_steps: points on each leg.
    """
    points = []
    with evaluation_mode(model):
        for number in range(num_steps * (len(stops) - 1) + 1):
            leg = min(number // num_steps, len(stops) - 2)
            share = number / num_steps - leg
            logits = predict_logits(model, torch.lerp(stops[leg], stops[leg + 1], share))
            correct = accuracy_count(logits, y) / len(y)
            points.append(PathPoint(leg + share, correct, -margin(logits, y).mean().item()))
    return points
