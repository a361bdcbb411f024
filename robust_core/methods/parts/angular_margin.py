"""Hypersphere embedding (HE): a scale and an additive margin on the cosines of the network."""

from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.inference.scaled_logits import ScaledLogits
from robust_core.models.base import Classifier
from robust_core.models.heads import cosine_head, refuse_cosine_head, with_scaled_logits

HypersphereEmbedding = Annotated[
    bool,
    Field(
        default=False,
        description="Hypersphere embedding: train the cosines of a cosine head without bias, with "
        "a scale and an angular margin.",
    ),
]
HEScale = Annotated[
    float,
    Field(
        default=15.0,
        gt=0.0,
        le=1000.0,
        description="Hypersphere embedding: scale of the cosines (s).",
    ),
]
HEMargin = Annotated[
    float,
    Field(
        default=0.2,
        ge=0.0,
        le=2.0,
        description="Hypersphere embedding: margin subtracted from the true class's cosine in the "
        "loss (m).",
    ),
]

SCALED = "scaled"  # the inference whose logits the training attack has seen


@runtime_checkable
class EmbeddingChoice(Protocol):
    """The parameters of a method that offers hypersphere embedding."""

    @property
    def hypersphere_embedding(self) -> HypersphereEmbedding:
        """Whether it is on."""
        ...

    @property
    def he_scale(self) -> HEScale:
        """The factor of the cosines."""
        ...

    @property
    def he_margin(self) -> HEMargin:
        """What the label's cosine must be ahead."""
        ...


@dataclass(frozen=True)
class AngularMargin:
    """The logits that attack and loss of a base method see, with hypersphere embedding or without.

    The attack sees s cos_k. The cross-entropy of the label y is

        -log exp(s (cos_y - m)) / (exp(s (cos_y - m)) + sum_{j != y} exp(s cos_j))

    Whatever else a loss is made of sees s cos_k, too. With `enabled` False all logits pass through
    as they are. The inference "scaled" returns s cos_k: the network itself returns bare cosines, on
    which an attack by cross-entropy is weak, because the softmax of numbers in [-1, 1] is almost
    flat.

    Source: Pang et al., "Boosting Adversarial Training with Hypersphere Embedding", NeurIPS 2020,
    arXiv:2002.08619; scale 15 and margin 0.2 for PGD-AT and TRADES, as released, and
    here for every method.
    """

    enabled: bool
    scale: float
    margin: float

    @classmethod
    def of(cls, parameters: object) -> "AngularMargin":
        """Return what the parameters of a method ask for: `PLAIN` where they do not offer it."""
        if not isinstance(parameters, EmbeddingChoice):
            return PLAIN
        return cls(parameters.hypersphere_embedding, parameters.he_scale, parameters.he_margin)

    def attach(self, model: Classifier, what: str) -> None:
        """Check the network.

        Args:
            model: the network.
            what: what trains without embedding, for the sentence of the error.

        Raises:
            InputError: it has no cosine head, or one with a bias; without embedding: it has one.
        """
        if self.enabled:
            cosine_head(model, "hypersphere embedding", without_bias=True)
        else:
            refuse_cosine_head(model, what)

    def scaled(self, logits: Tensor) -> Tensor:
        """Return s cos_k: [N,K] -> [N,K]."""
        return self.scale * logits.float() if self.enabled else logits

    def with_margin(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return s (cos_k - m [k = y]): [N,K], [N] -> [N,K]."""
        if not self.enabled:
            return logits
        return self.scale * (logits.float() - self.margin * F.one_hot(y, logits.shape[1]))

    def attacked(self, model: nn.Module) -> nn.Module:
        """Return the network that an attack by cross-entropy should see: with logits s cos_k."""
        return ScaledLogits(model, self.scale) if self.enabled else model

    def inferences(self, model: Classifier) -> tuple[str, ...]:
        """Return the ways to use the network, with "scaled" where it is enabled."""
        return (*model.inferences, SCALED) if self.enabled else model.inferences

    def inference(self, name: str, model: Classifier) -> Classifier:
        """Return the network used as `name`, one of `inferences(model)`, says."""
        if self.enabled and name == SCALED:
            return with_scaled_logits(model, self.scale)
        return model.inference(name)


PLAIN = AngularMargin(enabled=False, scale=1.0, margin=0.0)  # the base method as it is
