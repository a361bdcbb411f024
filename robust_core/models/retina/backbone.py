"""The network behind a retinotopic sampler: made for its views, or a classifier that exists."""

import copy
from typing import Any

from torch import nn

from robust_core.errors import InputError
from robust_core.models.base import MODELS, Classifier
from robust_core.models.heads import CosineHead
from robust_core.models.retina.sampler import Version

COLOURS = 3  # grey images are repeated, as in the released code
CHANNELS: dict[Version, int] = {"v2": COLOURS, "v1": 2 * COLOURS}  # of a view: ON, in v1 and OFF
WIDTH_FIELDS = ("width", "widen_factor", "hidden")  # what the architectures call it


def create_backbone(
    name: str,
    width: int | None,
    depth: int | None,
    view_shape: tuple[int, int, int],
    num_classes: int,
) -> Classifier:
    """Return a fresh network for views of `view_shape`, which takes them as they are.

    Args:
        name: of an architecture with a width.
        width: its width, widen factor or hidden size. None: its own default.
        depth: its layers. None: its own default.
        view_shape: (C, H, W) of the views.
        num_classes: K.

    Raises:
        InputError: a size that the network cannot have.
    """
    architecture: Any = MODELS.get(name)
    fields = architecture.Parameters.model_fields
    values: dict[str, Any] = {}
    if width is not None:
        values[next(field for field in WIDTH_FIELDS if field in fields)] = width
    if depth is not None:
        if "depth" not in fields:
            raise InputError(
                f"backbone_depth should be automatic for {name}, whose depth is fixed, got {depth}"
            )
        values["depth"] = depth
    backbone = architecture(view_shape, num_classes, architecture.Parameters.create(values))
    backbone.normalize = nn.Identity()
    return backbone


def check_backbone(classifier: Any, version: Version) -> None:
    """Check that a classifier can stand behind the sampler.

    The mean over the views' logits is taken at the features, so the last layer must be affine.

    Raises:
        InputError: it cannot.
    """
    name = type(classifier).__name__
    if not isinstance(classifier, Classifier):
        raise InputError(f"the network behind the sampler must be a Classifier, got a {name}")
    if classifier.stochastic or classifier.masking_parts:
        raise InputError(
            "the network behind the sampler must be deterministic and have a gradient throughout, "
            f"got a {name}"
        )
    head = getattr(classifier, "classifier", None)
    if not isinstance(head, nn.Linear) or isinstance(head, CosineHead):
        raise InputError(
            "the network behind the sampler must end in an affine layer called classifier (head "
            f'"linear"), got a {name} with another'
        )
    channels = classifier.image_shape[0]
    if channels != CHANNELS[version]:
        raise InputError(
            f"the network behind the sampler must take the {CHANNELS[version]} channels of a view "
            f"of version {version}, got a {name} for {channels}"
        )


def without_normalisation(classifier: Classifier) -> Classifier:
    """Return a clone that shares all layers but its `normalize`, if it has one, which does nothing.

    The classifier itself is left as it is.
    """
    clone = copy.copy(classifier)
    clone._modules = dict(classifier._modules)
    if "normalize" in clone._modules:
        clone._modules["normalize"] = nn.Identity()
    return clone
