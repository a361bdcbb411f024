"""The image classifiers of torchvision, by their names."""

from functools import lru_cache
from typing import Annotated

from pydantic import Field

from robust_core.models.base import MODELS
from robust_core.models.library_networks import LibraryNetwork
from robust_core.models.normalisation import CENTRE, Mean, Std
from robust_core.models.pixels import InputSize, PixelForm, pixel_layers
from robust_core.parameters import OneOf, Parameters

WITH_HELPERS = ("googlenet", "inception_v3")  # classifiers in the middle that training may use


@lru_cache(maxsize=1)
def torchvision_names() -> tuple[str, ...]:
    """Return the names of the image classifiers of torchvision, sorted."""
    from torchvision import models  # noqa: PLC0415 - takes seconds

    return tuple(models.list_models(module=models))


class TorchvisionParameters(Parameters):
    """Parameters of `torchvision`."""

    architecture: Annotated[
        str,
        OneOf("architecture of torchvision", torchvision_names),
        Field(description="Name of the architecture in torchvision."),
    ] = "shufflenet_v2_x0_5"
    mean: Mean = CENTRE
    std: Std = CENTRE
    input_size: InputSize = None


@MODELS.register("torchvision")
class TorchvisionNetwork(LibraryNetwork):
    """Any image classifier of torchvision with fresh weights, as `torchvision.models` builds it.

    A state dict of torchvision fits it through `own_key`. Grey images are repeated on three
    channels. Made for images of 224x224: many shrink smaller ones to nothing unless `input_size`
    is set.

    Published weights of googlenet and inception_v3 expect mean and std 0.5, whatever their
    transforms say: torchvision undoes those inside (`transform_input`), which is off here. The
    classifiers in the middle of these two are left out.

    Source: torchvision.models (BSD licence), which names the paper of each.
    """

    Parameters = TorchvisionParameters
    advanced = ("mean", "std")
    fused_form = None

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: TorchvisionParameters
    ):
        name = parameters.architecture
        form = PixelForm.of(parameters, colour=image_shape[0] == 1)
        options = {"aux_logits": False, "init_weights": False} if name in WITH_HELPERS else {}

        def build():
            from torchvision import models  # noqa: PLC0415 - takes seconds

            return models.get_model(name, weights=None, num_classes=num_classes, **options)

        pixels = pixel_layers(form, image_shape)
        super().__init__(image_shape, num_classes, pixels, f"torchvision's {name}", build)
