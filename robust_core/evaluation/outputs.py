"""What the outputs of a classifier must be like for its accuracy to mean anything."""

import warnings

import torch
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import Classifier
from robust_core.models.guard import innermost

SIMPLEX_TOLERANCE = 1e-3
FEWEST_IMAGES = 10  # below, logits may well lie in [0, 1] by chance


def are_probabilities(logits: Tensor) -> Tensor:
    """Return which rows of [N,K] lie in [0, 1] and sum to 1: bool [N]."""
    within = ((logits >= 0) & (logits <= 1)).all(dim=1)
    return within & ((logits.sum(dim=1) - 1).abs() < SIMPLEX_TOLERANCE)


def look_like_sigmoid(logits: Tensor, model: nn.Module | None = None) -> bool:
    """Return whether all outputs [N,K] of many images lie in [0, 1], as those of a sigmoid do.

    Logits may lie there, too: it is a suspicion. Outputs that are all the same raise none, and
    neither does a network of this package that is known to end in a linear layer or in cosines.

    Args:
        logits: [N,K].
        model: what returned them, if it is at hand.
    """
    network = None if model is None else innermost(model)
    if isinstance(network, Classifier) and network.class_layer is not None:
        return False
    within = bool(((logits >= 0) & (logits <= 1)).all())
    return within and len(logits) >= FEWEST_IMAGES and bool(logits.min() < logits.max())


def check_outputs(
    logits: Tensor, y: Tensor, num_classes: int | None, model: nn.Module | None = None
) -> None:
    """Refuse outputs for clean images that no accuracy can be made of; warn of probabilities.

    Args:
        logits: [N,K], N at least 1.
        y: labels [N].
        num_classes: K as the model states it; None where it does not.
        model: what returned them, as for `look_like_sigmoid`.

    Raises:
        InputError: NaN or infinity, another K than stated, or a label that is not below K.
    """
    found = logits.shape[1]
    if num_classes is not None and found != num_classes:
        raise InputError(
            f"the model should return {num_classes} logits an image, one a class, got {found}"
        )
    if int(y.max()) >= found:
        raise InputError(
            f"labels must be in [0, {found - 1}] for a model with {found} logits, "
            f"got {int(y.min())} to {int(y.max())}"
        )
    broken = int((~torch.isfinite(logits)).any(dim=1).sum())
    if broken:
        raise InputError(
            f"the model should return finite logits, got NaN or infinity for {broken} of "
            f"{len(logits)} images"
        )
    if bool(are_probabilities(logits).all()):
        warnings.warn(
            "the model returns probabilities instead of logits: their gradient is too small, so "
            "attacks may look weaker than they are",
            stacklevel=2,
        )
    elif look_like_sigmoid(logits, model):
        warnings.warn(
            "the model's outputs all lie in [0, 1]: if they are probabilities of a sigmoid instead "
            "of logits, their gradient is too small, so attacks may look weaker than they are",
            stacklevel=2,
        )
