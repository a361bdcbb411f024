"""What an attack wants of a batch: the loss it ascends and when it has won."""

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
class Goal:
    """The objective of an attack on one batch; calling it on logits gives the loss to ascend.

    Untargeted (`target` None): raise the loss of the true label until another label is predicted.
    Targeted: lower the loss of the target until it is predicted. `towards` steers an untargeted
    attack at one class (as APGD-T does): any wrong prediction wins.

    Attributes:
        loss: "cross_entropy", "margin" or "dlr".
        y: true labels [N].
        target: labels to reach [N], or None.
        towards: classes to steer at [N], or None; ignored with a target.
    """

    loss: str
    y: Tensor
    target: Tensor | None = None
    towards: Tensor | None = None

    @property
    def kind(self) -> tuple[str, bool, bool]:
        """What goals that differ in their tensors only have in common."""
        return self.loss, self.target is None, self.towards is None

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the loss to ascend: logits [N,K] -> [N]."""
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

    def reached(self, logits: Tensor) -> Tensor:
        """Return which images have fallen: logits [N,K] -> bool [N]."""
        if self.target is None:
            return ~is_correct(logits, self.y)
        return is_correct(logits, self.target)

    def fallen(
        self, model: nn.Module, x_adv: Tensor, logits: Tensor, *, eot_samples: int = 1
    ) -> Tensor:
        """Return which images have fallen, each of them by a float32 verdict: bool [N].

        Args:
            model: the attacked model. Where its search is approximate, a forward pass of the
                images that seem to have fallen confirms or denies it.
            x_adv: the images [N,C,H,W].
            logits: what the search says to them [N,K].
            eot_samples: passes averaged where one is needed.
        """
        fallen = self.reached(logits)
        if is_approximate(model) and bool(fallen.any()):
            seeming = fallen.nonzero().squeeze(1)
            verdict = predict_logits(model, x_adv[seeming], eot_samples=eot_samples)
            fallen[seeming] = self.select(seeming).reached(verdict)
        return fallen

    def select(self, index: Tensor) -> "Goal":
        """Return the goal of some of the images: index int64 [M] or bool [N]."""
        chosen = {
            name: None if labels is None else labels[index]
            for name, labels in (("target", self.target), ("towards", self.towards))
        }
        return replace(self, y=self.y[index], **chosen)
