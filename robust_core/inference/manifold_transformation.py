"""Inference with manifold transformation: a test-time step towards what looks natural."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.gradients import differentiable_input_gradient, input_gradient
from robust_core.models.base import Classifier
from robust_core.models.discriminator import Discriminator
from robust_core.threat_model import Norm, ThreatModel

UNDECIDED = (0.3, 0.7)  # D0 between these: the discriminator does not know, half a step is taken
CORNER_WIDTH = 0.5  # of soft clipping, as a share of the step

Backward = Literal["identity", "smooth"]


class ManifoldTransformed(Classifier):
    """A trained classifier that moves its image before it looks at it (IMT).

    x_t = clip(x - m * epsilon * sign(gradient of BCE(D0(f(x)), 1)), 0, 1), prediction argmax f(x_t)

    with m = 1; with `limited`, m = 1/2 where 0.3 < D0(f(x)) < 0.7. The step goes around the image
    that is received: an attacked one may end 2 epsilon away from the clean one. Deterministic; one
    backward and two forward passes. With the L2 norm the gradient over its length takes the place
    of its sign.

    BCE(sigmoid(V), 1) falls where V rises, so the step is computed as + sign(gradient of V), which
    does not vanish where the sigmoid saturates.

    Backward pass, so that an attack goes THROUGH the transformation, which is recomputed for every
    iterate:

    - "identity": the gradient at x is that of f at x_t (BPDA for sign and clipping). A sign has no
      slope where it does not flip, so with Linf this is the exact gradient but for the clipping.
    - "smooth": forward unchanged; backward the sign counts as tanh(g / mean |g|) of each image (L2:
      the exact direction), so that the way in which the step itself reacts to x is seen, and the
      clipping at 0 and 1 as one with rounded corners of width epsilon / 2. In a network of ReLUs
      the second derivatives that this takes vanish almost everywhere.

    The step jumps wherever a sign flips, so consecutive iterates of an attack differ in more than
    their last step: an attack that keeps its best iterate (APGD) sees through the transformation
    where the last iterate of PGD does not, and images computed on the base network count as well.

    Source: Qian et al., arXiv:2107.04401, and the released code with its supplement (eq. B.19):
    ATLD is the full step, ATLD+ the limited one. Attack through it: Croce, Gowal, Brunner,
    Shelhamer, Hein and Cemgil, "Evaluating the Adversarial Robustness of Adaptive Test-time
    Defenses", ICML 2022, arXiv:2202.13711. Difference: one rule for every data set and attack, that
    of the released CIFAR-10 inference on natural images; the code has other masks and epsilons
    elsewhere.

    Args:
        model: the trained classifier; shared, not changed.
        discriminator: evaluates its logits; must be in eval mode when images are classified.
        epsilon: length of the step in pixel units, in the range of `ThreatModel`.
        norm: measures the step.
        limited: take half a step where the discriminator is undecided (ATLD+).
        backward: what an attack's gradient sees.
    """

    def __init__(
        self,
        model: Classifier,
        discriminator: Discriminator,
        *,
        epsilon: float,
        norm: Norm = Norm.LINF,
        limited: bool = False,
        backward: Backward = "identity",
    ) -> None:
        super().__init__(model.image_shape, model.num_classes, model.num_features)
        self.stochastic = model.stochastic
        self.why_no_features = model.why_no_features
        self.model = model
        self.discriminator = discriminator
        self.threat_model = ThreatModel(norm, epsilon)
        self.limited = limited
        self.backward = backward

    def transform(self, x: Tensor) -> Tensor:
        """Return x_t [N,C,H,W] in [0, 1], at most epsilon from x."""
        manifold = _ManifoldScore(self.model, self.discriminator)
        if self.backward == "smooth" and torch.is_grad_enabled() and x.requires_grad:
            score, gradient = differentiable_input_gradient(manifold, x, _score)
            moved = x + self._length(score) * self._smooth_direction(gradient)
            soft = _soft_clip(moved, CORNER_WIDTH * self.threat_model.epsilon)
            return moved.detach().clamp(0.0, 1.0) + (soft - soft.detach())
        at = input_gradient(manifold, x, _score)
        direction = self.threat_model.ascent_direction(at.gradient)
        moved = (x.detach() + self._length(at.loss) * direction).clamp(0.0, 1.0)
        return moved + (x - x.detach())

    def features(self, x: Tensor) -> Tensor:
        """Return the features of the transformed image: [N,C,H,W] in [0, 1] -> [N,D]."""
        return self.model.features(self.transform(x))

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,D] -> [N,K]."""
        return self.model.head(z)

    @property
    def class_layer(self) -> nn.Linear | None:
        """The last layer of the classifier that sees the transformed image."""
        return self.model.class_layer

    def class_features(self, z: Tensor) -> Tensor:
        """Return what the classifier's last layer weighs: [N,D] -> [N,D']."""
        return self.model.class_features(z)

    def attack_surrogates(self) -> tuple[nn.Module, ...]:
        """Return the base network, whose adversarial images transfer, and the smooth backward."""
        smooth = ManifoldTransformed(
            self.model,
            self.discriminator,
            epsilon=self.threat_model.epsilon,
            norm=self.threat_model.norm,
            limited=self.limited,
            backward="smooth",
        )
        return self.model, smooth.train(self.training)

    def _length(self, score: Tensor) -> Tensor:
        """Return the length of each image's step: scores V [N] -> [N,1,1,1]."""
        natural = score.detach().sigmoid()
        undecided = (natural > UNDECIDED[0]) & (natural < UNDECIDED[1])
        share = 1.0 - 0.5 * (undecided & self.limited).float()
        return self.threat_model.epsilon * share.view(-1, 1, 1, 1)

    def _smooth_direction(self, gradient: Tensor) -> Tensor:
        """Return the ascent direction; a sign with the derivative of tanh(gradient / mean)."""
        direction = self.threat_model.ascent_direction(gradient)
        if self.threat_model.norm is Norm.L2:
            return direction
        scale = gradient.detach().abs().flatten(1).mean(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
        soft = torch.tanh(gradient / scale)
        return direction.detach() + (soft - soft.detach())


def _soft_clip(x: Tensor, width: float) -> Tensor:
    """Return x clipped to [0, 1] with rounded corners: its slope goes from 1 to 0 over `width`."""
    width = max(width, 1e-6)
    return width * (F.softplus(x / width) - F.softplus((x - 1.0) / width))


class _ManifoldScore(nn.Module):
    """The discriminator's score of an image: [N,C,H,W] -> V [N,1]."""

    def __init__(self, model: Classifier, discriminator: Discriminator) -> None:
        super().__init__()
        self.model = model
        self.discriminator = discriminator

    def forward(self, x: Tensor) -> Tensor:
        return self.discriminator(self.model(x)).manifold[:, None]


def _score(score: Tensor) -> Tensor:
    return score.squeeze(1)
