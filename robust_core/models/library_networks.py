"""What networks out of a library of architectures have in common."""

from collections.abc import Callable

import torch
from torch import nn

from robust_core.errors import InputError
from robust_core.models.adapted import AdaptedClassifier

SWITCHES = ("inplace", "fused_attn")  # attributes of layers here and there, to be turned off
LARGEST_NETWORK = 1 << 28  # weights; more do not fit into a file that is opened here


class LibraryNetwork(AdaptedClassifier):
    """An architecture of a library under its name, with fresh weights.

    No layer works in place and no attention is fused where the library lets that be switched off,
    so that attribution is right and there are second derivatives; the numbers are the same.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        pixels: nn.Sequential,
        architecture: str,
        build: Callable[[], nn.Module],
    ) -> None:
        """Build and adapt a network.

        Raises:
            InputError: it cannot be built or is too large, or does not take such images.
        """
        try:
            module = _built(build)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            said = str(error).partition("\n")[0]
            raise InputError(f"{architecture} cannot be built: {said}") from error
        count = sum(parameter.numel() for parameter in module.parameters())
        if count > LARGEST_NETWORK:
            raise InputError(
                f"{architecture} has {count / 1e6:.0f} million weights; at most "
                f"{LARGEST_NETWORK / 1e6:.0f} million are opened here"
            )
        for part in module.modules():
            for switch in SWITCHES:
                if getattr(part, switch, False) is True:
                    setattr(part, switch, False)
        try:
            super().__init__(image_shape, num_classes, module, pixels)
        except InputError as error:
            raise InputError(
                f"{architecture} does not take such images; set input_size to a side that it was "
                f"made for, such as 224: {error}"
            ) from error


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    """Return the network, on the meta device where that is the default one."""
    if torch.get_default_device().type != "meta":
        return build()
    try:
        return build()
    except NotImplementedError:  # some look at a number while they are built
        with torch.device("cpu"):
            return build().to("meta")
