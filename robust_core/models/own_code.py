"""Networks that only code of their owner can build; it runs where the owner has said so."""

import os
import pkgutil
import sys
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from robust_core.errors import InputError, brief
from robust_core.models.adapted import AdaptedClassifier
from robust_core.models.base import MODELS
from robust_core.models.normalisation import CENTRE, Mean, Std
from robust_core.models.pixels import InputSize, PixelForm, pixel_layers
from robust_core.parameters import Parameters

TRUST = "ROBUST_TRUST_CODE"  # environment variable: factories that may run, separated by commas
REFERENCE = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"  # package.module:function


class OwnCodeParameters(Parameters):
    """Parameters of `own_code`."""

    factory: Annotated[
        str,
        Field(
            pattern=f"^{REFERENCE}$",
            max_length=200,
            description="The function without arguments that returns the network, as "
            "package.module:function.",
        ),
    ]
    stochastic: Annotated[
        bool, Field(description="Whether two passes of an image differ in evaluation mode.")
    ] = False
    colour: Annotated[
        bool, Field(description="Whether grey images are repeated on three channels.")
    ] = False
    mean: Mean = CENTRE
    std: Std = CENTRE
    input_size: InputSize = None


@MODELS.register("own_code")
class OwnCodeNetwork(AdaptedClassifier):
    """A network that a function of its owner's returns; the weights are kept here, the code is not.

    The function is found in the working folder or on Python's path, and is called only where its
    reference stands in the environment variable ROBUST_TRUST_CODE. Whatever can be exported is kept
    as an ONNX graph instead, which is data and opens everywhere.
    """

    Parameters = OwnCodeParameters
    fused_form = None
    from_file = True

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: OwnCodeParameters
    ):
        device = torch.get_default_device()
        with torch.device("cpu"):  # a person's code may look at its numbers
            module = build_network(parameters.factory).float().eval()
            form = PixelForm.of(parameters, colour=parameters.colour)
            super().__init__(image_shape, num_classes, module, pixel_layers(form, image_shape))
        self.stochastic = parameters.stochastic
        self.requires_grad_(False).to(device)


def trusted_factories() -> tuple[str, ...]:
    """Return the references of the functions that may run here."""
    return tuple(filter(None, os.environ.get(TRUST, "").split(",")))


def trust(factory: str) -> None:
    """Let a function of a person's own run in this process and in those that it starts.

    Args:
        factory: as package.module:function.
    """
    os.environ[TRUST] = ",".join(dict.fromkeys((*trusted_factories(), factory)))


def build_network(factory: str) -> nn.Module:
    """Return what a function of a person's own returns.

    Args:
        factory: as package.module:function; the working folder is looked at last.

    Raises:
        InputError: it is not trusted, cannot be found, raises something, or returns no network.
    """
    if factory not in trusted_factories():
        raise InputError(
            f"this network is built by code of its owner, {brief(factory)}, which runs only where "
            f"it is trusted: robust-lab app --trust-code {brief(factory)}, or {TRUST}="
            f"{brief(factory)} for other commands"
        )
    folder = os.getcwd()  # noqa: PTH109 - as an entry of the path, which is text
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        function: Any = pkgutil.resolve_name(factory)
    except Exception as error:  # a module of a person's own runs when it is imported
        raise InputError(
            f"{factory} cannot be found from {folder} ({_said(error)}); start from the folder of "
            "that file, or put it on PYTHONPATH"
        ) from error
    if not callable(function):
        raise InputError(f"{factory} should be a function, got a {type(function).__name__}")
    try:
        module = function()
    except Exception as error:  # of a person's own code
        raise InputError(f"{factory} fails when it is called: {_said(error)}") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"{factory} should return a network, got a {type(module).__name__}")
    return module


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {brief(str(error).strip().partition(chr(10))[0])}"
