"""The discriminator of ATLD: tells the logits of clean images from those of attacked ones."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

STEM_WIDTH = 16
KERNEL_TAPS = 9  # of the 3x3 kernels whose centre taps the linear layers are


class DiscriminatorOutput(NamedTuple):
    """What a discriminator says of N images.

    manifold [N] is the score V before the sigmoid: D0 = sigmoid(V) is near 1 for logits that look
    like a clean image's. classes [N,K] are class logits.
    """

    manifold: Tensor
    classes: Tensor


class Discriminator(nn.Module):
    """A residual network of logits with a manifold head and a class head, for [N,K].

    Linear K -> 16, three groups of `num_blocks` pre-activation blocks with 16k, 32k and 64k
    features (k = `widen_factor`), BN and ReLU, then linear -> 1 and linear -> K. Runs in float32,
    whatever the precision around it; in train mode a batch needs at least two images.

    The released discriminator is a WideResNet-28-5 that takes the K logits as the channels of an
    image of one pixel. There only the centre tap of every 3x3 kernel ever meets a value that is not
    padding, so it is this network: same function, a ninth of the weights. The weights start as
    those centre taps do, normal with variance 2 / (9 * out features) (shortcuts: 2 / out features).

    Source: Qian, Zhang, Huang, Wang, Zhang and Yi, "Improving Model Robustness with Latent
    Distribution Locally and Globally", arXiv:2107.04401, and its released code. There, D0 = 1 means
    natural, as here; in the paper's text it means perturbed.

    Args:
        num_classes: K.
        num_blocks: blocks in each group; as released 4 (depth 6 * 4 + 4 = 28).
        widen_factor: k; as released 5.
    """

    def __init__(self, num_classes: int, *, num_blocks: int = 4, widen_factor: int = 5) -> None:
        super().__init__()
        width = STEM_WIDTH * widen_factor
        self.stem = _linear(num_classes, STEM_WIDTH, KERNEL_TAPS)
        self.blocks = nn.Sequential(*_blocks(STEM_WIDTH, (width, 2 * width, 4 * width), num_blocks))
        self.norm = nn.BatchNorm1d(4 * width)
        self.manifold_head = nn.Linear(4 * width, 1)
        self.class_head = nn.Linear(4 * width, num_classes)
        for head in (self.manifold_head, self.class_head):
            nn.init.zeros_(head.bias)

    def forward(self, logits: Tensor) -> DiscriminatorOutput:
        """Return the output for logits [N,K]."""
        with torch.autocast(logits.device.type, enabled=False):
            z = torch.relu(self.norm(self.blocks(self.stem(logits.float()))))
            return DiscriminatorOutput(self.manifold_head(z).squeeze(1), self.class_head(z))


class ResidualBlock(nn.Module):
    """Pre-activation block on vectors: shortcut + linear(relu(bn(linear(relu(bn(z))))))."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm1d(in_features)
        self.linear1 = _linear(in_features, out_features, KERNEL_TAPS)
        self.norm2 = nn.BatchNorm1d(out_features)
        self.linear2 = _linear(out_features, out_features, KERNEL_TAPS)
        self.shortcut = (
            _linear(in_features, out_features, 1) if in_features != out_features else None
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the block's output: [N,A] -> [N,B]."""
        active = torch.relu(self.norm1(z))
        shortcut = z if self.shortcut is None else self.shortcut(active)
        return shortcut + self.linear2(torch.relu(self.norm2(self.linear1(active))))


def _blocks(features: int, widths: tuple[int, ...], per_group: int) -> Iterator[ResidualBlock]:
    for width in widths:
        for _ in range(per_group):
            yield ResidualBlock(features, width)
            features = width


def _linear(in_features: int, out_features: int, taps: int) -> nn.Linear:
    layer = nn.Linear(in_features, out_features, bias=False)
    nn.init.normal_(layer.weight, std=math.sqrt(2.0 / (taps * out_features)))
    return layer


def detection_auroc(clean: Tensor, adversarial: Tensor) -> float:
    """Return the area under the ROC curve of a detector that calls low scores adversarial.

    The chance that a clean image scores higher than an adversarial one, ties counting half: the
    Mann-Whitney statistic over all pairs; 0.5 knows nothing.

    Args:
        clean: scores [N] of clean images, such as `natural_scores`.
        adversarial: scores [M].
    """
    wins = mannwhitneyu(clean.double().numpy(), adversarial.double().numpy(), method="asymptotic")
    return float(wins.statistic) / (len(clean) * len(adversarial))
