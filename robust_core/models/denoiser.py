"""A small class-conditional denoiser that is a classifier through its denoising errors."""

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.models.base import MODELS, Classifier, Normalize
from robust_core.parameters import Parameters

DATA_DEVIATION = 0.5  # of pixels in [-1, 1], the convention of EDM


class DenoiserParameters(Parameters):
    """Parameters of `denoiser`."""

    width: Annotated[
        int,
        Field(
            ge=4,
            le=128,
            description="Channels at half resolution; twice as many at quarter resolution.",
        ),
    ] = 32
    noise: Annotated[
        float,
        Field(
            ge=0.05,
            le=10.0,
            description="Noise level for classification: standard deviation for pixels in [-1, 1].",
        ),
    ] = 0.5


class ModulatedConv(nn.Module):
    """gelu(a(e) * conv(h) + b(e)): a 3x3 convolution whose channels a condition scales and shifts.

    Source: FiLM, Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI
    2018, arXiv:1709.07871.
    """

    def __init__(self, in_channels: int, out_channels: int, condition: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.modulation = nn.Linear(condition, 2 * out_channels)
        self.gelu = nn.GELU()

    def forward(self, h: Tensor, condition: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """Return the next maps, [M,A,H,W], [M,E] -> [M,B,ceil(H/stride),ceil(W/stride)].

        `gain` [M,1,1,1] multiplies what the convolution returns.
        """
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        return self.gelu(self.conv(h) * gain * (1 + scale) + shift)


class DenoisingPass(nn.Module):
    """What `Denoiser.denoise` computes: a module without weights, so that it can be compiled."""

    def forward(self, denoiser: "Denoiser", x_t: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        """Return the expected clean image, [M,C,H,W]; see `Denoiser.denoise`."""
        condition = denoiser.label(label) + denoiser.level(sigma.log()[:, None])
        spread, sigma = DATA_DEVIATION, sigma[:, None, None, None]
        total = sigma.square() + spread**2
        half = denoiser.stem(x_t, condition, gain=total.rsqrt())
        h = denoiser.down(half, condition)
        for layer in denoiser.middle:
            h = h + layer(h, condition)
        h = denoiser.up(F.interpolate(h, size=half.shape[-2:]), condition) + half
        change = denoiser.shuffle(denoiser.output(h))[..., : x_t.shape[2], : x_t.shape[3]]
        return x_t * spread**2 / total + change * sigma * spread / total.sqrt()


@MODELS.register("denoiser")
class Denoiser(Classifier):
    """E[x | x_t, c]: estimates the clean image from a noisy one, given a class or none.

    With x in [-1, 1] and x_t = x + sigma e, e ~ N(0, I), its score is (D(x_t, sigma, c) - x_t) /
    sigma^2, the gradient of log p(x_t | c); the class "none" gives that of log p(x_t). As a
    classifier it measures for every class how far the class's denoiser moves the image itself, at
    one noise level: logit_c = -w ||D(x, sigma, c) - x||^2 / (2 sigma^2), w a learnt inverse
    temperature (`classifier`). No noise is drawn, so it is deterministic.

    The body is a U-Net on a half and a quarter of the image's size; its skip is added, and the last
    convolution fills 2x2 pixels from each place. Any size of image.

    Source: score and preconditioning (without the scaling of the input): Karras et al.,
    "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022,
    arXiv:2206.00364, eq. 3 and table 1. Classification by denoising error: Li et al., "Your
    Diffusion Model is Secretly a Zero-Shot Classifier", ICCV 2023, arXiv:2303.16203. Difference:
    they average over noise levels and draws.
    """

    Parameters = DenoiserParameters
    fused_form = None
    classes: Tensor

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: DenoiserParameters
    ):
        super().__init__(image_shape, num_classes, num_features=num_classes)
        width, condition = parameters.width, 2 * parameters.width
        self.noise = parameters.noise
        self.normalize = Normalize()
        self.register_buffer("classes", torch.arange(num_classes), persistent=False)
        self.label = nn.Embedding(num_classes + 1, condition)  # the last one: no class
        self.level = nn.Sequential(nn.Linear(1, condition), nn.GELU())
        self.stem = ModulatedConv(image_shape[0], width, condition, stride=2)
        self.down = ModulatedConv(width, 2 * width, condition, stride=2)
        self.middle = nn.ModuleList(
            ModulatedConv(2 * width, 2 * width, condition) for _ in range(2)
        )
        self.up = ModulatedConv(2 * width, width, condition)
        self.output = nn.Conv2d(width, 4 * image_shape[0], 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.denoising_pass = DenoisingPass()
        self.classifier = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.classifier.weight, 0.1)

    def denoise(self, x_t: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        """Return the expected clean image: [M,C,H,W], [M], [M] -> [M,C,H,W].

        Args:
            x_t: noisy images, scale of [-1, 1].
            sigma: standard deviation of their noise, same scale.
            label: classes int64 in [0, K]; K for none.
        """
        return self.denoising_pass(self, x_t, sigma, label)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile `denoise`, through which every pass goes; arguments of torch.compile."""
        self.denoising_pass.compile(*args, **kwargs)

    def scores(self, x_t: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores given each class and given none: [N,K,C,H,W] and [N,C,H,W].

        Arguments as for `denoise`, with [N] noisy images.
        """
        labels = torch.arange(self.num_classes + 1, device=x_t.device)
        guesses = self.denoise(
            x_t.repeat(len(labels), 1, 1, 1),
            sigma.repeat(len(labels)),
            labels.repeat_interleave(len(x_t)),
        )
        move = guesses.unflatten(0, (len(labels), -1)) - x_t  # [K + 1, N, C, H, W]
        score = move / sigma[:, None, None, None].square()
        return score[:-1].transpose(0, 1), score[-1]

    def features(self, x: Tensor) -> Tensor:
        """Return -||D(x, sigma, c) - x||^2 / (2 sigma^2) for every class: [N,C,H,W] -> [N,K]."""
        x_t = self.normalize(x).repeat(self.num_classes, 1, 1, 1)  # class by class
        label = self.classes.repeat_interleave(x.shape[0])
        sigma = torch.full_like(label, self.noise, dtype=x_t.dtype)
        move = self.denoise(x_t, sigma, label) - x_t
        distance = move.square().flatten(1).sum(dim=1) / (2 * self.noise**2)
        return -distance.unflatten(0, (self.num_classes, -1)).transpose(0, 1)

    def head(self, z: Tensor) -> Tensor:
        """Return w z, the logits of features: [N,K] -> [N,K]."""
        return self.classifier(z.unsqueeze(2)).squeeze(2)
