"""Networks that compute differently with the same names, side by side on labelled images.

What no name tells, a clean accuracy shows: of variants, and of ways to normalise the pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from robust_core.data import ImageSet
from robust_core.importing.arrival import SCALES, Scale, accuracies_of_scales, check_weights
from robust_core.importing.building import check_extent
from robust_core.importing.costs import AFFORDABLE, FEWEST_IMAGES, images_for, operations
from robust_core.importing.layout import Candidate, state_of
from robust_core.importing.opening import open_tensors
from robust_core.importing.target import Target
from robust_core.importing.unwrapping import unwrap
from robust_core.models.base import Classifier, create_model

FEWEST, MOST = 20, 100  # images of the comparison
WAYS = len(SCALES) + 4  # to normalise, of `accuracies_of_scales`, at most
UNIT: Scale = ((0.0,), (1.0,))


@dataclass(frozen=True)
class Variant:
    """One of several networks that a file may be, and its clean accuracies.

    Attributes:
        candidate: the network.
        accuracies: in [0, 1] by the name of the normalisation; "as declared" first, if one is.
        num_images: that they are of.
    """

    candidate: Candidate
    accuracies: Mapping[str, float]
    num_images: int


@dataclass(frozen=True)
class TrialCost:
    """What a trial takes at most: passes of one image, floating-point operations."""

    passes: int
    operations: int


def compare_cost(candidates: Sequence[Candidate], target: Target) -> TrialCost:
    """Return what `compare_variants` takes; it needs no weights."""
    one = _operations(candidates[0], target)
    passes = len(candidates) * WAYS * _num_images(one, len(candidates))
    return TrialCost(passes, one * passes)


def compare_variants(
    path: Path,
    candidates: Sequence[Candidate],
    target: Target,
    images: ImageSet,
    *,
    key: str | None = None,
    declared: Scale | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Variant, ...]:
    """Return the clean accuracy of every candidate under every usual normalisation.

    Args:
        path: the file of weights.
        candidates: networks that it may be, as `look_at` found them.
        target: what they classify.
        images: labelled images; a stratified sample of 20 to 100 is taken.
        key: which set of weights, where the file holds several.
        declared: mean and std that the file carries or somebody states; None: nobody says.
        told: called with the number of candidates that are done, and of all.

    Raises:
        InputError: the file cannot be opened, or does not fit the images.
    """
    what = path.name
    tensors = unwrap(open_tensors(path).values, key, what=what).tensors
    sample = images.sample(_num_images(_operations(candidates[0], target), len(candidates)))
    found = []
    for done, candidate in enumerate(candidates):
        told(done, len(candidates))
        check_extent(candidate.num_classes, candidate.image_channels, target, what)
        model = _build(candidate, target, tensors, declared or UNIT, what)
        accuracies = accuracies_of_scales(model, sample, declared or UNIT)
        if declared is None:
            del accuracies["as declared"], accuracies["normalised twice"]
        found.append(Variant(candidate, accuracies, len(sample)))
    return tuple(found)


def _build(
    candidate: Candidate, target: Target, tensors: Mapping[str, Tensor], scale: Scale, what: str
) -> Classifier:
    model = _created(candidate, target, scale)
    state = state_of(candidate, tensors)
    check_weights(state, what)
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).eval()


def _created(candidate: Candidate, target: Target, scale: Scale) -> Classifier:
    values = {**candidate.parameters, "mean": list(scale[0]), "std": list(scale[1])}
    return create_model(candidate.architecture, target.image_shape, len(target.class_names), values)


def arrival_cost(candidate: Candidate, target: Target) -> TrialCost:
    """Return what the measurements of `import_model` take on labelled images."""
    one = _operations(candidate, target)
    passes = images_for(one) + WAYS * FEWEST_IMAGES
    return TrialCost(passes, one * passes)


def _operations(candidate: Candidate, target: Target) -> int:
    with torch.device("meta"):
        return operations(_created(candidate, target, UNIT).eval())


def _num_images(one: int, num_candidates: int) -> int:
    return int(min(max(AFFORDABLE / (one * num_candidates * WAYS), FEWEST), MOST))
