"""Hypersphere embedding (HE): a scale and an additive margin on the cosines of the network."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from robust_core.models.base import Classifier
from robust_core.models.heads import cosine_head, refuse_cosine_head, with_scaled_logits

HypersphereEmbedding = Annotated[
    bool,
    Field(
        description="Train the cosines of a cosine head without a bias, with a scale and a margin."
    ),
]
HEScale = Annotated[
    float, Field(gt=0.0, le=1000.0, description="Hypersphere embedding: factor of the cosines (s).")
]
HEMargin = Annotated[
    float,
    Field(
        ge=0.0,
        le=2.0,
        description="Hypersphere embedding: what the label's cosine must be ahead in the loss (m).",
    ),
]

SCALED = "scaled"  # the inference whose logits the training attack has seen


@dataclass(frozen=True)
class AngularMargin:
    """The logits that attack and loss of a base method see, with hypersphere embedding or without.

    The attack sees s cos_k. The cross-entropy of the label y is

        -log exp(s (cos_y - m)) / (exp(s (cos_y - m)) + sum_{j != y} exp(s cos_j))

    With `enabled` False all logits pass through as they are. The inference "scaled" returns
    s cos_k: the network itself returns bare cosines, on which an attack by cross-entropy is weak,
    because the softmax of numbers in [-1, 1] is almost flat.

    Source: Pang et al., "Boosting Adversarial Training with Hypersphere Embedding", NeurIPS 2020,
    arXiv:2002.08619; scale 15 and margin 0.2 for PGD-AT and TRADES, as released.
    """

    enabled: bool
    scale: float
    margin: float

    def attach(self, model: Classifier) -> None:
        """Check the network.

        Raises:
            InputError: it has no cosine head, or one with a bias; without embedding: it has one.
        """
        if self.enabled:
            cosine_head(model, "hypersphere embedding", without_bias=True)
        else:
            refuse_cosine_head(model, "training without hypersphere embedding")

    def scaled(self, logits: Tensor) -> Tensor:
        """Return s cos_k: [N,K] -> [N,K]."""
        return self.scale * logits.float() if self.enabled else logits

    def with_margin(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return s (cos_k - m [k = y]): [N,K], [N] -> [N,K]."""
        if not self.enabled:
            return logits
        return self.scale * (logits.float() - self.margin * F.one_hot(y, logits.shape[1]))

    def inferences(self, model: Classifier) -> tuple[str, ...]:
        """Return the ways to use the network, with "scaled" where it is enabled."""
        return (*model.inferences, SCALED) if self.enabled else model.inferences

    def inference(self, name: str, model: Classifier) -> Classifier:
        """Return the network used as `name`, one of `inferences(model)`, says."""
        if self.enabled and name == SCALED:
            return with_scaled_logits(model, self.scale)
        return model.inference(name)


PLAIN = AngularMargin(enabled=False, scale=1.0, margin=0.0)  # the base method as it is
