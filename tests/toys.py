"""Small models whose answers are known in closed form."""

import torch
from torch import Tensor, nn


class LinearModel(nn.Module):
    """logits = W x + b on flattened images, with small random weights."""

    def __init__(self, shape=(1, 4, 4), num_classes=3, seed=0, scale=1.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        size = shape[0] * shape[1] * shape[2]
        self.weight = nn.Parameter(scale * torch.randn(num_classes, size, generator=generator))
        self.bias = nn.Parameter(0.1 * torch.randn(num_classes, generator=generator))
        self.num_classes = num_classes
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


class SmallNet(nn.Module):
    """A convolution with batch norm, dropout and a head: has modes and buffers to protect."""

    def __init__(self, shape=(1, 8, 8), num_classes=3, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.num_classes = num_classes
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def middle_images(n: int, shape=(1, 4, 4), seed=1) -> Tensor:
    """Images [n, *shape] away from the walls of the box, in [0.3, 0.7]."""
    generator = torch.Generator().manual_seed(seed)
    return 0.3 + 0.4 * torch.rand((n, *shape), generator=generator)


def labels(n: int, num_classes=3, seed=2) -> Tensor:
    """Random labels [n]."""
    return torch.randint(num_classes, (n,), generator=torch.Generator().manual_seed(seed))


class NoisyLinear(LinearModel):
    """LinearModel whose logits get normal noise, and whose first class gets a head start."""

    stochastic = True

    def __init__(self, shape=(1, 4, 4), *, noise: float, bias: float = 0.0):
        super().__init__(shape)
        self.noise = noise
        self.bias.data[0] += bias

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits + self.noise * torch.randn(logits.shape)


class WithSurrogate(LinearModel):
    """LinearModel of 32 grey levels; offers the plain one, which knows no right answer."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((31 * x).round() / 31)

    def attack_surrogates(self) -> tuple[nn.Module, ...]:
        return (Reluctant(self),)


class Reluctant(nn.Module):
    """The gradient of a linear model, but its logits are always equal: any image would count."""

    def __init__(self, model: LinearModel):
        super().__init__()
        self.weight, self.bias = model.weight, model.bias

    def forward(self, x: Tensor) -> Tensor:
        logits = x.flatten(1) @ self.weight.T + self.bias
        return logits - logits.detach()
