"""A deliberately masked model: an undefended network behind a quantised input."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from robust_core.models.base import MODELS
from robust_core.models.small_cnn import SmallCNN, SmallCNNParameters


class Quantize(torch.nn.Module):
    """Round every pixel to one of `levels` values in [0, 1]: gradient zero almost everywhere."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded image: [N,C,H,W] -> [N,C,H,W]."""
        return torch.round(x * (self.levels - 1)) / (self.levels - 1)


class QuantizedCNNParameters(SmallCNNParameters):
    """Parameters of the masked network."""

    levels: Annotated[
        int, Field(ge=2, le=256, description="Number of values of a pixel after quantisation.")
    ] = 8


@MODELS.register("quantized_cnn")
class QuantizedCNN(SmallCNN):
    """`small_cnn` on an image quantised to a few grey levels; an example of masked gradients.

    Rounding has no gradient, so plain gradient attacks stand still and the model looks robust.
    The checks of `evaluation.reliability` say so, and BPDA or Square breaks it. The pattern is
    "thermometer encoding" and its kin: Athalye, Carlini and Wagner, ICML 2018, arXiv:1802.00420,
    section 5.
    """

    Parameters = QuantizedCNNParameters
    fused_form = None
    masking_parts = ("quantize",)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        parameters: QuantizedCNNParameters,
    ) -> None:
        super().__init__(image_shape, num_classes, parameters)
        self.quantize = Quantize(parameters.levels)

    def features(self, x: Tensor) -> Tensor:
        """Return the features of the rounded image: [N,C,H,W] in [0, 1] -> [N,4w]."""
        return super().features(self.quantize(x))
