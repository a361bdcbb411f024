"""Published networks written once more, from their names and formulas: weights and logits.

A forward pass asks `Weights` for each tensor by the name that the code gives it; what is not there
is drawn, so that one pass also makes the state dict.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Weights(dict[str, Tensor]):
    """A state dict that grows: float32 weights, used in float64."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.draws = torch.Generator().manual_seed(seed)

    def get_or_draw(self, name: str, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        if name not in self:
            self[name] = low + (high - low) * torch.rand(shape, generator=self.draws)
        return self[name].double()

    def conv(self, x: Tensor, name: str, out: int, size: int, stride=1, padding=0) -> Tensor:
        fan_in = size * size * x.shape[1]
        limit = (3 / fan_in) ** 0.5
        shape = (out, x.shape[1], size, size)
        weight = self.get_or_draw(f"{name}.weight", *shape, low=-limit, high=limit)
        return F.conv2d(x, weight, stride=stride, padding=padding)

    def norm(self, x: Tensor, name: str) -> Tensor:
        size = x.shape[1]
        scale = self.get_or_draw(f"{name}.weight", size, low=0.5, high=1.5)
        shift = self.get_or_draw(f"{name}.bias", size, low=-0.5, high=0.5)
        mean = self.get_or_draw(f"{name}.running_mean", size, low=-0.5, high=0.5)
        variance = self.get_or_draw(f"{name}.running_var", size, low=0.5, high=1.5)
        self[f"{name}.num_batches_tracked"] = torch.tensor(7)
        return F.batch_norm(x, mean, variance, scale, shift, eps=1e-5)

    def linear(self, z: Tensor, name: str, out: int, bias: bool = True) -> Tensor:
        limit = (3 / z.shape[1]) ** 0.5
        weight = self.get_or_draw(f"{name}.weight", out, z.shape[1], low=-limit, high=limit)
        return F.linear(z, weight, self.get_or_draw(f"{name}.bias", out) if bias else None)

    def conv_with_bias(self, x: Tensor, name: str, out: int, size: int, **how: Any) -> Tensor:
        x = self.conv(x, name, out, size, **how)
        return x + self.get_or_draw(f"{name}.bias", out)[:, None, None]


def trades_wrn(w: Weights, x: Tensor, *, n=1, k=1, classes=5, act=F.relu) -> Tensor:
    x = w.conv(x, "conv1", 16, 3, padding=1)
    for g in (1, 2, 3):
        for i in range(n):
            name, width = f"block{g}.layer.{i}", 16 * k * 2 ** (g - 1)
            stride = 2 if g > 1 and i == 0 else 1
            active = act(w.norm(x, f"{name}.bn1"))
            out = w.conv(active, f"{name}.conv1", width, 3, stride, 1)
            out = w.conv(act(w.norm(out, f"{name}.bn2")), f"{name}.conv2", width, 3, padding=1)
            if x.shape[1] != width:
                x = w.conv(active, f"{name}.convShortcut", width, 1, stride)
            x = x + out
    return w.linear(act(w.norm(x, "bn1")).mean((2, 3)), "fc", classes)


def trades_wrn_cosines(w: Weights, x: Tensor, *, bias: bool, classes=5) -> Tensor:
    """Cosines of the features of `trades_wrn`, taken from in front of its last layer."""
    shadow = Weights()
    shadow.update({key: value for key, value in w.items() if not key.startswith("fc.")})
    shadow["fc.weight"], shadow["fc.bias"] = torch.eye(64), torch.zeros(64)
    z = F.normalize(trades_wrn(shadow, x, classes=64))
    w.update({key: value for key, value in shadow.items() if not key.startswith("fc.")})
    weight = F.normalize(w.get_or_draw("fc.weight", classes, 64))
    return z @ weight.T + (w.get_or_draw("fc.bias", classes) if bias else 0)


def deepmind_wrn(w: Weights, x: Tensor, *, n=1, k=1, classes=5, act=F.silu) -> Tensor:
    x = w.conv(x, "init_conv", 16, 3, padding=1)
    for g in (0, 1, 2):
        for i in range(n):
            name, width = f"layer.{g}.block.{i}", 16 * k * 2**g
            stride = 2 if g > 0 and i == 0 else 1
            active = act(w.norm(x, f"{name}.batchnorm_0"))
            padded = F.pad(active, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
            out = act(
                w.norm(w.conv(padded, f"{name}.conv_0", width, 3, stride), f"{name}.batchnorm_1")
            )
            out = w.conv(out, f"{name}.conv_1", width, 3, padding=1)
            if x.shape[1] != width:
                x = w.conv(active, f"{name}.shortcut", width, 1, stride)
            x = x + out
    return w.linear(act(w.norm(x, "batchnorm")).mean((2, 3)), "logits", classes)


def preact(
    w: Weights, x: Tensor, *, raw: bool, last: bool, width=4, classes=5, act=F.relu
) -> Tensor:
    x = w.conv(x, "conv1", width, 3, padding=1)
    for g in (1, 2, 3, 4):
        for i in (0, 1):
            name, out_width = f"layer{g}.{i}", width * 2 ** (g - 1)
            stride = 2 if g > 1 and i == 0 else 1
            active = act(w.norm(x, f"{name}.bn1"))
            out = w.conv(active, f"{name}.conv1", out_width, 3, stride, 1)
            out = w.conv(act(w.norm(out, f"{name}.bn2")), f"{name}.conv2", out_width, 3, padding=1)
            if stride == 2:
                x = w.conv(x if raw else active, f"{name}.shortcut.0", out_width, 1, stride)
            x = x + out
    x = act(w.norm(x, "bn")) if last else x
    return w.linear(x.mean((2, 3)), "linear", classes)


def deepmind_preact(w: Weights, x: Tensor, *, width=4, classes=5, act=F.silu) -> Tensor:
    x = w.conv(x, "conv_2d", width, 3, padding=1)
    for g in (0, 1, 2, 3):
        for i in (0, 1):
            name, out_width = f"layer_{g}.{i}", width * 2**g
            stride = 2 if g > 0 and i == 0 else 1
            sides = (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)
            active = F.pad(act(w.norm(x, f"{name}.batchnorm_0")), sides)
            out = w.conv(active, f"{name}.conv_2d_1", out_width, 3, stride)
            out = act(w.norm(out, f"{name}.batchnorm_1"))
            out = w.conv(out, f"{name}.conv_2d_2", out_width, 3, padding=1)
            if stride == 2:
                x = w.conv(F.pad(x, sides), f"{name}.shortcut", out_width, 3, stride)
            x = x + out
    return w.linear(act(w.norm(x, "batchnorm")).mean((2, 3)), "logits", classes)


def resnet(
    w: Weights, x: Tensor, *, sizes=(2, 2, 2, 2), bottleneck=False, width=4, classes=5, act=F.relu
) -> Tensor:
    x = act(w.norm(w.conv(x, "conv1", width, 3, padding=1), "bn1"))
    for g, blocks in enumerate(sizes, start=1):
        for i in range(blocks):
            name, planes = f"layer{g}.{i}", width * 2 ** (g - 1)
            stride, out_width = (2 if g > 1 and i == 0 else 1), planes * (4 if bottleneck else 1)
            kernels = ((1, 1), (3, stride), (1, 1)) if bottleneck else ((3, stride), (3, 1))
            out = x
            for j, (kernel, step) in enumerate(kernels, start=1):
                out = act(out) if j > 1 else out
                size = out_width if j == len(kernels) else planes
                out = w.conv(out, f"{name}.conv{j}", size, kernel, step, kernel // 2)
                out = w.norm(out, f"{name}.bn{j}")
            if stride == 2 or x.shape[1] != out_width:
                x = w.conv(x, f"{name}.shortcut.0", out_width, 1, stride)
                x = w.norm(x, f"{name}.shortcut.1")
            x = act(x + out)
    return w.linear(x.mean((2, 3)), "linear", classes)


def trades_cnn(w: Weights, x: Tensor, *, width=4, hidden=9, classes=5) -> Tensor:
    for i, out in enumerate((width, width, 2 * width, 2 * width), start=1):
        x = w.conv_with_bias(x, f"feature_extractor.conv{i}", out, 3).relu()
        x = F.max_pool2d(x, 2) if i in (2, 4) else x
    z = w.linear(x.flatten(1), "classifier.fc1", hidden).relu()
    z = w.linear(z, "classifier.fc2", hidden).relu()
    return w.linear(z, "classifier.fc3", classes)


def fast_at_cnn(w: Weights, x: Tensor, *, width=4, hidden=9, classes=5) -> Tensor:
    x = w.conv_with_bias(x, "0", width, 4, stride=2, padding=1).relu()
    x = w.conv_with_bias(x, "2", 2 * width, 4, stride=2, padding=1).relu()
    return w.linear(w.linear(x.flatten(1), "5", hidden).relu(), "7", classes)


def per_image(x: Tensor) -> Tensor:
    """Each image by its own mean and standard deviation, which is at least 1 / sqrt(CHW)."""
    mean = x.mean((1, 2, 3), keepdim=True)
    std = x.std((1, 2, 3), keepdim=True).clamp_min(x[0].numel() ** -0.5)
    return (x - mean) / std
