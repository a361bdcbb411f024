"""The image classifiers of timm, by their names."""

from functools import lru_cache
from importlib.util import find_spec
from typing import Annotated

from pydantic import Field

from robust_core.errors import InputError
from robust_core.models.base import MODELS
from robust_core.models.library_networks import LibraryNetwork
from robust_core.models.normalisation import CENTRE, Mean, Std
from robust_core.models.pixels import InputSize, PixelForm, pixel_layers
from robust_core.parameters import OneOf, Parameters


@lru_cache(maxsize=1)
def timm_names() -> tuple[str, ...]:
    """Return the names of the architectures of timm, sorted; none where it is not installed."""
    if find_spec("timm") is None:
        return ()
    import timm  # noqa: PLC0415 - optional, and takes a second

    return tuple(timm.list_models())


class TimmParameters(Parameters):
    """Parameters of `timm`."""

    architecture: Annotated[
        str,
        OneOf("architecture of timm", timm_names),
        Field(description="Name of the architecture in timm, without the tag of its weights."),
    ] = "resnet18"
    mean: Mean = CENTRE
    std: Std = CENTRE
    input_size: InputSize = None


@MODELS.register("timm")
class TimmNetwork(LibraryNetwork):
    """Any architecture of timm with fresh weights, as `timm.create_model` builds it.

    A state dict of timm fits it through `own_key`. Only names of `timm.list_models` are known: no
    prefix that makes timm look on disk or in a network. Grey images are repeated on three channels.

    Features are what the last linear layer sees: `forward_head(.., pre_logits=True)`. Networks
    without such a layer (a convolution, or two heads that are averaged) have none.

    Source: Wightman, "PyTorch Image Models" (timm, Apache licence 2.0), which names the papers.
    """

    Parameters = TimmParameters
    advanced = ("mean", "std")
    fused_form = None

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: TimmParameters
    ):
        name = parameters.architecture
        if name not in timm_names():  # only where it is not installed
            raise InputError(f"{name} needs timm, which is not installed: pip install timm")
        form = PixelForm.of(parameters, colour=image_shape[0] == 1)

        def build():
            import timm  # noqa: PLC0415 - optional, and takes a second

            return timm.create_model(name, pretrained=False, num_classes=num_classes)

        pixels = pixel_layers(form, image_shape)
        super().__init__(image_shape, num_classes, pixels, f"timm's {name}", build)
