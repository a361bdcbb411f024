"""A model whose logits are multiplied by a number: the same predictions, another softmax."""

from torch import Tensor, nn

from robust_core.models.guard import ModelWrapper, attack_surrogates


class ScaledLogits(ModelWrapper):
    """The same predictions with all logits multiplied by `scale`.

    A large scale saturates the softmax and hides the gradient of cross-entropy; a small one
    brings it back: Carlini and Wagner, "Defensive Distillation is Not Robust to Adversarial
    Examples", arXiv:1607.04311.
    """

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__(model)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return scale * logits: [N,C,H,W] -> [N,K]."""
        return self.scale * self.model(x)

    def attack_surrogates(self) -> tuple[nn.Module, ...]:
        """Return those of the model, with their logits scaled, too."""
        return tuple(ScaledLogits(other, self.scale) for other in attack_surrogates(self.model))
