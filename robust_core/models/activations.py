"""The nonlinearity between the layers of a residual network."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

Activation = Annotated[
    Literal["relu", "silu", "gelu", "softplus"],
    Field(description="Nonlinearity after each normalisation layer."),
]

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
}
ACTIVATION_LAYERS = tuple(ACTIVATIONS.values())

# for optimised copies, whose tensors nobody else looks at
FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "softplus": F.softplus,
}
IN_PLACE: dict[Activation, Callable[[Tensor], Tensor]] = {**FUNCTIONS, "relu": F.relu_}
