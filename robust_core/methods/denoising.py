"""Training of a denoiser, whose scores serve as targets of PAG."""

import math
from typing import Annotated, Any, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.losses import cross_entropy
from robust_core.methods.base import METHODS, Batch, MethodOutput, TrainingMethod
from robust_core.methods.recipe import QuickRun, Recipe
from robust_core.models.base import Classifier, Normalize
from robust_core.models.denoiser import DATA_DEVIATION, Denoiser
from robust_core.parameters import Parameters

Noise = Annotated[float, Field(ge=0.05, le=10.0)]
CALIBRATION_SHARE = 8  # one image of so many calibrates the posterior: it costs K passes


QUICK_NOISE = {"noise": 2.0}  # at which a denoiser tells coarse images apart


class DenoisingParameters(Parameters):
    """Parameters of denoising; moderate noise, as score-based targets need it."""

    smallest_noise: Annotated[
        Noise,
        Field(description="Smallest standard deviation of the noise, for pixels in [-1, 1]."),
    ] = 0.25
    largest_noise: Annotated[
        Noise,
        Field(description="Largest standard deviation of the noise, for pixels in [-1, 1]."),
    ] = 1.0
    label_dropout: Annotated[
        float,
        Field(
            gt=0.0,
            lt=1.0,
            description="Share of images without class conditioning, to learn the unconditional "
            "score.",
        ),
    ] = 0.2

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.smallest_noise > self.largest_noise:
            raise ValueError(
                f"smallest_noise must be <= largest_noise, got {self.smallest_noise:g} "
                f"and {self.largest_noise:g}"
            )
        return self


def a_denoiser(model: dict[str, Any], data: str, budget: str) -> dict[str, Any]:
    """Return a denoiser, whatever `model` is."""
    return {"name": "denoiser", "parameters": QUICK_NOISE if budget == "quick" else {}}


@METHODS.register("denoising")
class Denoising(TrainingMethod):
    """Minimise the weighted error of a denoiser, with and without the class, in one network.

    E w(sigma) mean (D(x + sigma e, sigma, c) - x)^2 over pixels in [-1, 1], log sigma uniform
    between the two noise levels, c withheld for a share of the images and w = (sigma^2 + s^2) /
    (sigma s)^2 with s the deviation of the data. By Tweedie's formula the minimiser gives the
    scores of the noisy images. One image in eight also calibrates p(c | x) = softmax of the
    denoiser's logits by cross-entropy, which changes the inverse temperature alone.

    Source: Ho and Salimans, "Classifier-Free Diffusion Guidance", arXiv:2207.12598 (label dropout);
    Karras et al., NeurIPS 2022, arXiv:2206.00364 (weight). Differences: log sigma uniform; moderate
    levels only, because no image has to be made from pure noise.
    """

    Parameters = DenoisingParameters
    recipe = Recipe(  # our own: nothing is published
        {
            "model": {"name": "denoiser"},
            "optimiser": {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.0},
            "schedule": {"name": "cyclic", "peak": 0.3},
            "epochs": 200,
        },
        published=(),
        quick=QuickRun(
            {"smallest_noise": 0.5, "largest_noise": 4.0},  # around QUICK_NOISE
            grey_epochs=3,
        ),
        network=a_denoiser,
        best_by_clean=True,
        many_passes=True,
    )

    def attach(self, model: Classifier) -> None:
        """Check that the network is a denoiser.

        Raises:
            InputError: it is none.
        """
        if not isinstance(model, Denoiser):
            raise InputError(
                f"method denoising trains the model denoiser, got a {type(model).__name__}"
            )

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return the mean weighted denoising error plus the calibration's cross-entropy."""
        denoiser = cast(Denoiser, model)
        error = self.denoising_error(denoiser, batch.x, batch.y).mean()
        few = len(batch.x) // CALIBRATION_SHARE or 1
        with torch.no_grad():
            z = denoiser.features(batch.x[:few])
        calibration = cross_entropy(denoiser.head(z), batch.y[:few]).mean()
        terms = {"denoising_error": error.item(), "posterior_cross_entropy": calibration.item()}
        return MethodOutput(error + calibration, terms)

    def denoising_error(self, model: Denoiser, x: Tensor, y: Tensor) -> Tensor:
        """Return the weighted error of each image at a random noise level: -> [B]."""
        settings: DenoisingParameters = self.settings
        ends = math.log(settings.smallest_noise), math.log(settings.largest_noise)
        sigma = (ends[0] + (ends[1] - ends[0]) * torch.rand(len(x))).exp().to(x)
        withheld = (torch.rand(len(x)) < settings.label_dropout).to(x.device)
        clean = Normalize()(x)
        x_t = clean + sigma[:, None, None, None] * torch.randn(x.shape).to(x)
        guess = model.denoise(x_t, sigma, torch.where(withheld, model.num_classes, y))
        weight = (sigma**2 + DATA_DEVIATION**2) / (sigma * DATA_DEVIATION) ** 2
        return weight * (guess.float() - clean).square().mean(dim=(1, 2, 3))
