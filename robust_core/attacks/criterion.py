"""The criterion of an attack on a batch: the loss to maximise, and when an image is adversarial."""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.gradients import is_approximate, predict_logits
from robust_core.losses import (
    cross_entropy,
    difference_of_logits_ratio,
    is_correct,
    margin,
    targeted_difference_of_logits_ratio,
)


@dataclass(frozen=True)
class Criterion:
    """The criterion of an attack on one batch; calling it on logits gives the loss to maximise.

    Untargeted (`target` None): increase the loss of the true label until another label is
    predicted. Targeted: decrease the loss of the target until it is predicted. `towards` gives an
    untargeted attack a target class for its loss (as in APGD-T): any wrong prediction succeeds.

    Attributes:
        loss: "cross_entropy", "margin" or "dlr".
        y: true labels [N].
        target: target labels [N], or None.
        towards: target classes of the loss only [N], or None; ignored with a target.
    """

    loss: str
    y: Tensor
    target: Tensor | None = None
    towards: Tensor | None = None

    @property
    def kind(self) -> tuple[str, bool, bool]:
        """The same for criteria that differ only in their tensors."""
        return self.loss, self.target is None, self.towards is None

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the loss to maximise: logits [N,K] -> [N]."""
        towards = self.towards if self.target is None else self.target
        match self.loss:
            case "cross_entropy":
                if towards is None:
                    return cross_entropy(logits, self.y)
                return -cross_entropy(logits, towards)
            case "margin":
                return margin(logits, self.y) if towards is None else -margin(logits, towards)
            case "dlr":
                if towards is None:
                    return difference_of_logits_ratio(logits, self.y)
                return targeted_difference_of_logits_ratio(logits, self.y, towards)
            case _:
                raise InputError(
                    f"loss must be 'cross_entropy', 'margin' or 'dlr', got {self.loss!r}"
                )

    def is_met(self, logits: Tensor) -> Tensor:
        """Return for which images the criterion is met: logits [N,K] -> bool [N]."""
        if self.target is None:
            return ~is_correct(logits, self.y)
        return is_correct(logits, self.target)

    def fooled(
        self, model: nn.Module, x_adv: Tensor, logits: Tensor, *, eot_samples: int = 1
    ) -> Tensor:
        """Return for which images the criterion is met, confirmed in float32: bool [N].

        Args:
            model: the attacked model. If its search is approximate, apparent successes are
                confirmed by a float32 forward pass.
            x_adv: the images [N,C,H,W].
            logits: of the search [N,K].
            eot_samples: passes averaged in that forward pass.
        """
        fooled = self.is_met(logits)
        if is_approximate(model) and bool(fooled.any()):
            seeming = fooled.nonzero().squeeze(1)
            exact = predict_logits(model, x_adv[seeming], eot_samples=eot_samples)
            fooled[seeming] = self.select(seeming).is_met(exact)
        return fooled

    def select(self, index: Tensor) -> "Criterion":
        """Return the criterion of some of the images: index int64 [M] or bool [N]."""
        chosen = {
            name: None if labels is None else labels[index]
            for name, labels in (("target", self.target), ("towards", self.towards))
        }
        return replace(self, y=self.y[index], **chosen)
