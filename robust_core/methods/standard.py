"""Ordinary training on clean images."""

from torch import nn

from robust_core.losses import cross_entropy
from robust_core.methods.base import METHODS, Batch, MethodOutput, TrainingMethod
from robust_core.methods.parts.angular_margin import HEMargin, HEScale, HypersphereEmbedding
from robust_core.methods.recipe import EMBEDDING, Recipe
from robust_core.parameters import Parameters


class StandardParameters(Parameters):
    """Ordinary training has none but those of hypersphere embedding."""

    hypersphere_embedding: HypersphereEmbedding
    he_scale: HEScale
    he_margin: HEMargin


@METHODS.register("standard")
class Standard(TrainingMethod):
    """Minimise the mean cross-entropy CE(f(x), y) of clean images; no defence.

    Option: hypersphere embedding, see `AngularMargin`.
    """

    Parameters = StandardParameters
    recipe = Recipe(published=(), options={"he": EMBEDDING}, best_by_clean=True)

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE(f(x), y)."""
        logits = self.angular_margin.with_margin(model(batch.x), batch.y)
        loss = cross_entropy(logits, batch.y).mean()
        return MethodOutput(loss, {"cross_entropy": loss.item()})
