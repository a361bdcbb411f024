"""The contract of a classifier, its parameters and the registry."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.fusion import FusedForm
from robust_core.parameters import Parameters
from robust_core.registry import Registry, unknown_name

MODELS: Registry["type[Classifier]"] = Registry("model", "robust_core.models")

CHANNELS = (1, 3)
MIN_SIDE, MAX_SIDE = 8, 256
MIN_CLASSES, MAX_CLASSES = 2, 1000


class Classifier(nn.Module):
    """A network from images [N,C,H,W] in [0, 1] to logits [N,K], split at its last features.

    `forward(x) = head(features(x))`, with `features(x)` [N,D] and `head(z)` [N,K]; normalisation is
    part of `features`. Subclasses name a `Parameters` model of their own and are built by
    `create_model`.

    Attributes:
        fused_form: how an optimised copy is made; None: attacks compute with the network as it is.
            Every network declares its own, for it is not inherited.
        image_shape: (C, H, W) of the images the network was made for.
        num_classes: K. num_features: D.
        stochastic: whether two passes of one image can differ in eval mode.
        masking_parts: names of submodules without a useful gradient, for BPDA to pass through.
        advanced: those parameters that a form shows only if it is asked to.
        inferences: names of the other ways to use the network that `inference` offers.
        from_file: whether it is built from a person's file besides its parameters, so that it
            cannot be chosen where a new network is made.
        why_no_features: why there are no `features` and no `head`, in half a sentence; then
            `num_features` is 0. Empty where there are: see `has_features`.
    """

    Parameters: ClassVar[type[Parameters]]
    fused_form: ClassVar[FusedForm | None] = None
    advanced: ClassVar[tuple[str, ...]] = ()
    stochastic: bool = False
    masking_parts: tuple[str, ...] = ()
    inferences: tuple[str, ...] = ()
    from_file: ClassVar[bool] = False
    why_no_features: str = ""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, num_features: int):
        """Note the shapes; subclasses build their layers after this."""
        super().__init__()
        self.image_shape = image_shape
        self.num_classes = num_classes
        self.num_features = num_features

    def features(self, x: Tensor) -> Tensor:
        """Return the features that the head sees: [N,C,H,W] in [0, 1] -> [N,D]."""
        raise NotImplementedError

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,D] -> [N,K]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits: [N,C,H,W] in [0, 1] -> [N,K]."""
        return self.head(self.features(x))

    @property
    def has_features(self) -> bool:
        """Whether the network can be split at its last features."""
        return not self.why_no_features

    @property
    def class_layer(self) -> nn.Linear | None:
        """The last layer where it has a row of weights a class, [K,D'], for `class_features`.

        None where the logits are made in another way, so that no class has weights of its own.
        """
        layer = getattr(self, "classifier", None)
        if not isinstance(layer, nn.Linear):
            return None
        fits = (layer.in_features, layer.out_features) == (self.num_features, self.num_classes)
        return layer if fits else None

    def class_features(self, z: Tensor) -> Tensor:
        """Return the part of features that the rows of `class_layer` weigh: [N,D] -> [N,D']."""
        return z

    def inference(self, name: str) -> "Classifier":
        """Return a classifier that shares these weights and uses them the way `name` says.

        Raises:
            InputError: not one of `inferences`.
        """
        raise unknown_name("inference", name, list(self.inferences))

    def attack_surrogates(self) -> tuple[nn.Module, ...]:
        """Return models whose gradients an attacker of this one follows besides its own.

        They share its weights; each maps [N,C,H,W] to logits [N,K] that are the same or near, with
        another backward pass. Cheap ones first; this model alone decides what is fooled.
        """
        return ()


class Normalize(nn.Module):
    """Map pixels from [0, 1] to [-1, 1]: (x - 0.5) / 0.5, the convention of the papers here.

    Without tensors of its own, so that it can be used for images on any device.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return 2 x - 1: [N,C,H,W] -> [N,C,H,W]."""
        return (x - 0.5) / 0.5


def create_model(
    name: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    parameters: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
) -> Classifier:
    """Return a freshly initialised network.

    Args:
        name: a name of `MODELS`.
        image_shape: (C, H, W), C 1 or 3, H and W in [8, 256].
        num_classes: K, in [2, 1000].
        parameters: the architecture's parameters; None takes its defaults.
        seed: of the initial weights; torch's default generator is left as it was.

    Raises:
        InputError: unknown name or parameter, a value out of range, or a shape that does not fit.
    """
    architecture: Any = MODELS.get(name)
    values = architecture.Parameters.create(parameters or {})
    check_shape(image_shape, num_classes)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return architecture(image_shape, num_classes, values)


def list_models() -> list[str]:
    """Return the names that `create_model` knows, sorted."""
    return MODELS.names()


def check_shape(image_shape: tuple[int, int, int], num_classes: int) -> None:
    """Raise `InputError` unless these are sizes of images and numbers of classes of a network."""
    channels, *size = image_shape
    if channels not in CHANNELS:
        raise InputError(f"images must have 1 or 3 channels, got {channels}")
    if len(size) != 2 or not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise InputError(
            f"images must have a height and a width from {MIN_SIDE} to {MAX_SIDE} pixels, "
            f"got {'x'.join(str(side) for side in size) or 'none'}"
        )
    if not MIN_CLASSES <= num_classes <= MAX_CLASSES:
        raise InputError(
            f"the number of classes must be in [{MIN_CLASSES}, {MAX_CLASSES}], got {num_classes}"
        )
