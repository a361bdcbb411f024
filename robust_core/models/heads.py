"""The last layer of a network: a linear map, or cosines to the weight vectors of the classes."""

import copy
from typing import Annotated, Literal, Protocol

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import Classifier

HeadKind = Annotated[
    Literal["linear", "cosine"],
    Field(
        description="Output layer: linear, or the cosines between the features and the weight "
        "vectors of the classes."
    ),
]
HeadBias = Annotated[bool, Field(description="Cosine head: add a bias per class.")]
HeadNormalisation = Annotated[
    Literal["functional", "retraction"],
    Field(
        description="Cosine head: differentiate through the normalisation of the weights "
        "(functional), or project them onto the unit sphere after every step (retraction)."
    ),
]

SMALLEST_NORM = 1e-12  # of features and class weights; a zero vector has cosine 0 with all


class HeadChoice(Protocol):
    """The parameters of an architecture that say how it ends."""

    @property
    def head(self) -> HeadKind:
        """What the last layer is."""
        ...

    @property
    def head_bias(self) -> HeadBias:
        """Whether a cosine head has a bias."""
        ...

    @property
    def head_normalisation(self) -> HeadNormalisation:
        """How a cosine head normalises its weights."""
        ...


class CosineHead(nn.Linear):
    """logits_k = cos(z, w_k) + b_k: features and class weights on the unit sphere, no scale.

    The logits lie in [-1, 1] around the bias; a scale belongs to the losses of the methods that
    need one. They are float32 under autocast, too: bfloat16 has steps of 0.004 near 1.

    - functional: the gradient goes through w / ||w||, whose Jacobian takes its radial part out.
    - retraction: ||w|| counts as a constant, so the gradient keeps its radial part, and `retract`
      puts the weights back on the sphere after every step of the optimiser.

    The forward pass divides by the norm in both, so averaged or perturbed weights give cosines too.

    Source: Pang et al., "Boosting Adversarial Training with Hypersphere Embedding", NeurIPS 2020,
    arXiv:2002.08619, without a bias; with one, in the released code of Hou, Han and Li, "Improving
    Adversarial Robustness with Self-Paced Hard-Class Pair Reweighting", AAAI 2023,
    arXiv:2210.15068. Difference: the latter overwrites the weights inside the forward pass, here
    that is pure; a step of the optimiser is the same.

    Attributes:
        scale: factor of the logits; 1 but in the clone of `with_scaled_logits`.
        unit_features: whether features are normalised; only `with_raw_features` does not.
    """

    scale: float = 1.0
    unit_features: bool = True

    def __init__(self, num_features: int, num_classes: int, *, bias: bool, retraction: bool):
        super().__init__(num_features, num_classes, bias=bias)
        self.retraction = retraction
        self.retract()

    def forward(self, z: Tensor) -> Tensor:
        """Return the cosines, plus the bias: [N,D] -> [N,K]."""
        with torch.autocast(z.device.type, enabled=False):
            z = z.to(self.weight.dtype)
            if self.unit_features:
                z = F.normalize(z, dim=1, eps=SMALLEST_NORM)
            return self.scale * F.linear(z, self._unit_weight(), self.bias)

    @torch.no_grad()
    def retract(self) -> None:
        """Put the weights back on the unit sphere; does nothing with functional normalisation."""
        if self.retraction:
            self.weight.copy_(F.normalize(self.weight, dim=1, eps=SMALLEST_NORM))

    def _unit_weight(self) -> Tensor:
        if not self.retraction:
            return F.normalize(self.weight, dim=1, eps=SMALLEST_NORM)
        return self.weight / self.weight.detach().norm(dim=1, keepdim=True).clamp_min(SMALLEST_NORM)


def create_head(num_features: int, num_classes: int, choice: HeadChoice) -> nn.Linear:
    """Return the last layer of a network, D = `num_features` to K = `num_classes`."""
    if choice.head == "linear":
        return nn.Linear(num_features, num_classes)
    retraction = choice.head_normalisation == "retraction"
    return CosineHead(num_features, num_classes, bias=choice.head_bias, retraction=retraction)


def cosine_head(model: nn.Module, what: str, *, without_bias: bool = False) -> CosineHead:
    """Return the cosine head of `model`.

    Args:
        model: a network whose last layer is called `classifier`.
        what: what needs the head, for the sentence of the error.
        without_bias: the head must have no bias.

    Raises:
        InputError: the network has another head.
    """
    head = getattr(model, "classifier", None)
    if not isinstance(head, CosineHead):
        raise InputError(
            f'{what} needs a network with a cosine head (head "cosine"), got a '
            f"{type(model).__name__} with another"
        )
    if without_bias and head.bias is not None:
        raise InputError(
            f"{what} needs a cosine head without a bias (head_bias false), got one with a bias"
        )
    return head


def refuse_cosine_head(model: nn.Module, what: str) -> None:
    """Check that the logits of `model` are no bare cosines.

    The softmax of numbers in [-1, 1] is almost flat: of K classes none gets a probability above
    e^2 / (e^2 + K - 1), 0.45 for ten, so cross-entropy learns little, and attacks by it find less.

    Args:
        model: a network whose last layer is called `classifier`.
        what: what trains on the logits as they are, for the sentence of the error.

    Raises:
        InputError: the network has a cosine head.
    """
    if isinstance(getattr(model, "classifier", None), CosineHead):
        raise InputError(
            f'{what} needs a network with a linear head (head "linear"), got a cosine one, whose '
            "bare cosines leave the softmax almost flat; they have a scale only in spat, and with "
            "hypersphere embedding in the methods that offer it"
        )


def retract_weights(model: nn.Module) -> None:
    """Put the weights of every cosine head with retraction back on the unit sphere."""
    for module in model.modules():
        if isinstance(module, CosineHead):
            module.retract()


def with_scaled_logits(model: Classifier, scale: float) -> Classifier:
    """Return a classifier that shares the weights of `model` and returns scale * (cos + b)."""
    head = copy.copy(cosine_head(model, "a scale"))
    head.scale = scale
    return _with_head(model, head)


def with_raw_features(model: Classifier) -> Classifier:
    """Return a classifier that shares the weights of `model` and returns w_k . z / ||w_k|| + b_k.

    The features are not normalised. Where the bias is not zero its decisions can differ. SPAT's
    released code measures natural accuracy like this, and robust accuracy with the cosines.
    """
    head = copy.copy(cosine_head(model, "the use of raw features"))
    head.unit_features = False
    return _with_head(model, head)


def _with_head(model: Classifier, head: nn.Module) -> Classifier:
    clone = copy.copy(model)
    clone._modules = {**model._modules, "classifier": head}
    return clone
