"""Parameters of the retinotopic network, and the statistics that it normalises with."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from robust_core.models.retina.sampler import (
    GRID_SIZE,
    CentreChoice,
    Density,
    PixelGradient,
    Version,
)
from robust_core.parameters import Parameters

V1_VIEWS = 15  # of version 1 on CIFAR-10; 20 on MNIST and 10 on mini-ImageNet

# mean and standard deviation of the training images' channels
STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2673, 0.2564, 0.2762)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mnist": ((0.1307,) * 3, (0.3081,) * 3),
    "digits": ((0.3123,) * 3, (0.3561,) * 3),
    "shapes": ((0.4624, 0.4633, 0.4628), (0.2836, 0.2835, 0.2823)),
    "none": ((0.0,) * 3, (1.0,) * 3),
}


class RetinotopicParameters(Parameters):
    """Parameters of `retinotopic`; defaults: v2 on CIFAR-10 of the released code."""

    backbone: Annotated[
        Literal["preact_resnet18", "resnet18", "wide_resnet", "vit", "small_cnn"],
        Field(description="Backbone network after the retinal sampler."),
    ] = "preact_resnet18"
    backbone_width: Annotated[
        int | None,
        Field(
            ge=1,
            le=768,
            description="Width, widen factor or hidden size of the backbone; automatic: its "
            "default.",
        ),
    ] = None
    backbone_depth: Annotated[
        int | None,
        Field(
            ge=1,
            le=40,
            description="Depth of the backbone, for wide_resnet (34 as published) and vit; "
            "automatic: its default.",
        ),
    ] = None
    version: Annotated[
        Version,
        Field(
            description="v2: normalised image, logits divided by the keep ratio; v1: ON and OFF "
            "channels without their mean, plain mean of logits."
        ),
    ] = "v2"
    num_views: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="Views averaged per prediction; default: 9, or 15 if v1 samples its "
            "centres (10 to 20 as published).",
        ),
    ] = GRID_SIZE
    num_samples: Annotated[
        int, Field(ge=1, le=100, description="Random binary samples averaged per view.")
    ] = 3
    centres: Annotated[
        CentreChoice | None,
        Field(
            description="Fixation centres: the nine grid points in fixed order, centre first "
            "(fixed), random grid points (grid), or any random point between them (random); "
            "automatic: fixed in v2, grid in v1."
        ),
    ] = None
    centre_margin: Annotated[
        float,
        Field(
            ge=0.01,
            le=0.5,
            description="Distance of the outer centres from the border, "
            "relative to the image side.",
        ),
    ] = 1 / 6
    weight: Annotated[
        float,
        Field(
            ge=0.01,
            le=10.0,
            description="Amplitude of the noise before the binarisation of pixels.",
        ),
    ] = 0.9
    offset: Annotated[
        float, Field(ge=0.1, le=1000.0, description="Mask: offset a of the density, in pixels.")
    ] = 10.0
    exponent: Annotated[
        float, Field(ge=0.0, le=10.0, description="Mask: exponent p of the density.")
    ] = 0.3
    threshold: Annotated[
        float,
        Field(
            ge=0.01, le=1.0, description="Mask: threshold T; larger than 1 - T keeps fewer pixels."
        ),
    ] = 0.9
    normalisation: Annotated[
        Literal["cifar10", "cifar100", "imagenet", "mnist", "digits", "shapes", "none"],
        Field(
            description="Channel means and standard deviations for normalisation before sampling "
            "(v2)."
        ),
    ] = "cifar10"
    pixel_gradient: Annotated[
        PixelGradient,
        Field(
            description="Gradient through the binarisation: as computed (native), or its "
            "expectation over the noise (expected); the outputs are the same."
        ),
    ] = "native"

    @model_validator(mode="before")
    @classmethod
    def _choose_views(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("num_views") is not None:
            return values
        draws = values.get("version") == "v1" and values.get("centres") != "fixed"
        return {**values, "num_views": V1_VIEWS if draws else GRID_SIZE}

    @model_validator(mode="after")
    def _check_views(self) -> Self:
        if self.centre_choice == "fixed" and self.num_views > GRID_SIZE:
            raise ValueError(
                f"num_views must be <= {GRID_SIZE} with fixed centres, got {self.num_views}"
            )
        return self

    @property
    def centre_choice(self) -> CentreChoice:
        """How centres are chosen, with the version's own way for automatic."""
        return self.centres or ("fixed" if self.version == "v2" else "grid")

    @property
    def density(self) -> Density:
        """The density of the masks."""
        return Density(self.offset, self.exponent, self.threshold)
