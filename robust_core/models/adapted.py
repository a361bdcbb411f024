"""Networks that are not ours, as classifiers: their pixels, their outputs, their features.

A module from elsewhere wants its images at some size, with some channels, normalised in some way;
it returns logits alone or among other things; and nothing in it is called `features`. Here these
are found out once, by one pass, and fixed.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import Classifier
from robust_core.models.guard import call_foreign
from robust_core.models.modes import evaluation_mode

REPLAY_TOLERANCE = 1e-4  # of the largest logit, or of 1


@dataclass(frozen=True)
class Trial:
    """What one pass through a module has shown.

    Attributes:
        logits: [N,K].
        key: where they stand in what the module returns; None: they are all of it.
        linear: dotted name of the `nn.Linear` that was called last; None: none was called.
        is_end: whether the logits are the very output of that layer.
    """

    logits: Tensor
    key: str | int | None
    linear: str | None
    is_end: bool


@torch.no_grad()
def try_module(module: nn.Module, x: Tensor, num_classes: int) -> Trial:
    """Return what a pass of `x` through a module that nobody else uses shows.

    Raises:
        InputError: it raises something, or returns no logits of so many classes.
    """
    calls: list[tuple[str, Tensor]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda layer, inputs, output: calls.append((name, output))

    hooks = [
        layer.register_forward_hook(note(name))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        output: Any = call_foreign(module, x)
    finally:
        for hook in hooks:
            hook.remove()
    key = _key_of_logits(output, len(x), num_classes)
    logits = _part(output, key)
    name, last = calls[-1] if calls else (None, None)
    return Trial(logits, key, name, last is logits)


def _part(output: Any, key: str | int | None) -> Tensor:
    if key is None:
        return output
    if isinstance(key, str) and not isinstance(output, Mapping):
        return getattr(output, key)
    return output[key]


def _key_of_logits(output: Any, num_images: int, num_classes: int) -> str | int | None:
    """Return where the logits stand: by the name `logits`, or as the only tensor of their shape."""
    if isinstance(output, Tensor):
        _check_shape(output, num_images, num_classes)
        return None
    if isinstance(getattr(output, "logits", None), Tensor) or (
        isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor)
    ):
        _check_shape(_part(output, "logits"), num_images, num_classes)
        return "logits"
    parts: list[tuple[Any, Any]] = []
    if isinstance(output, Mapping):
        parts = list(output.items())
    elif isinstance(output, tuple | list):
        parts = list(enumerate(output))
    shape = (num_images, num_classes)
    fitting = [key for key, part in parts if isinstance(part, Tensor) and part.shape == shape]
    if len(fitting) == 1 and isinstance(fitting[0], str | int):
        return fitting[0]
    what = f"{len(fitting)} tensors of that shape in a" if parts else "a"
    raise InputError(
        f"the model must return logits {list(shape)}, got {what} {type(output).__name__}"
    )


def _check_shape(logits: Tensor, num_images: int, num_classes: int) -> None:
    if logits.dim() != 2 or len(logits) != num_images:
        raise InputError(
            f"the model must return logits [{num_images},{num_classes}] for {num_images} images, "
            f"got shape {list(logits.shape)}: was it made for images of another size?"
        )
    if logits.shape[1] != num_classes:
        raise InputError(f"the model has {logits.shape[1]} outputs, the data {num_classes} classes")


@contextmanager
def _telling_weights(layer: nn.Linear) -> Iterator[None]:
    """Give a layer weights under which no scaling or shift of its output goes unnoticed.

    What is found then does not depend on the weights, which may come later, and of which a new
    network often has zeros.
    """
    kept = {key: value.clone() for key, value in layer.state_dict().items()}
    with torch.no_grad():
        for value in layer.parameters():
            count = value.numel()
            steps = torch.arange(count, device=value.device) % 7 - 2.5  # of a mean that is not 0
            value.copy_(steps.view_as(value) / layer.in_features**0.5)
    try:
        yield
    finally:
        layer.load_state_dict(kept)


class AdaptedClassifier(Classifier):
    """A module from elsewhere, split before its last linear layer where that can be done.

    `features` is the module with the identity in the place of that layer, `classifier` the layer:
    both together are what the module was, weight for weight. Tensors of the module keep their names
    behind "module.", those of the layer are called "classifier." (see `own_key`).

    Where the logits are not the output of one linear layer there are no features;
    `why_no_features` says so.

    Attributes:
        pixels: what happens to images before the module sees them.
        module: the module without its last layer, or all of it.
        classifier: the last layer; None: there are no features.
        layer_name: the name of that layer in the module; None: there are no features.
    """

    fused_form = None

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        module: nn.Module,
        pixels: nn.Sequential,
    ) -> None:
        """Adapt a module, which becomes a part of this and is changed.

        Args:
            image_shape: (C, H, W) of the images that come.
            num_classes: K.
            module: maps what `pixels` makes of them to logits [N,K], maybe among other things.
            pixels: see `pixels.pixel_layers`.

        Raises:
            InputError: it cannot take such images, or does not return so many logits.
        """
        super().__init__(image_shape, num_classes, num_features=0)
        self.pixels = pixels
        self.module = module
        self.classifier: nn.Linear | None = None
        self.layer_name: str | None = None
        with evaluation_mode(module):
            self._adapt()

    def _adapt(self) -> None:
        x = torch.linspace(0.0, 1.0, 2 * _volume(self.image_shape)).view(2, *self.image_shape)
        with torch.no_grad():
            # dark and bright ones too: code may do another thing with them
            inputs = [self.pixels(images) for images in (x, x / 4, 1 - x / 4)]
            trial = try_module(self.module, inputs[0].clone(), self.num_classes)
        self._key = trial.key
        if not trial.linear:
            self.why_no_features = "it has no linear layer that makes its logits"
            return
        layer = self.module.get_submodule(trial.linear)
        assert isinstance(layer, nn.Linear)
        with _telling_weights(layer):
            makes_logits = self._makes_logits(trial.linear, layer, inputs)
        if not makes_logits:
            self.module.set_submodule(trial.linear, layer)
            self.why_no_features = "its logits are not the output of its last linear layer"
            return
        self.classifier, self.layer_name = layer, trial.linear
        self.num_features = layer.in_features

    def _makes_logits(self, name: str, layer: nn.Linear, inputs: list[Tensor]) -> bool:
        """Put the identity in place of a layer; return whether the layer is all that is gone."""
        trials = [try_module(self.module, one.clone(), self.num_classes) for one in inputs]
        self.module.set_submodule(name, nn.Identity())
        return all(trial.is_end and trial.linear == name for trial in trials) or all(
            self._replays(layer, one, trial.logits)
            for one, trial in zip(inputs, trials, strict=True)
        )

    @torch.no_grad()
    def _replays(self, layer: nn.Linear, inputs: Tensor, logits: Tensor) -> bool:
        """Return whether module and layer, called one after the other, give the same logits."""
        try:
            z = _part(self.module(inputs.clone()), self._key)
            if logits.is_meta or z.shape != (len(inputs), layer.in_features):
                return False
            error = (layer(z) - logits).abs().max()
        except Exception:  # somebody else's code, in which a layer has changed
            return False
        return bool(error <= REPLAY_TOLERANCE * max(1.0, float(logits.abs().max())))

    def own_key(self, key: str) -> str:
        """Return what a tensor of the module's own state dict is called in this one's."""
        if self.layer_name is not None and key.startswith(f"{self.layer_name}."):
            return f"classifier.{key.removeprefix(f'{self.layer_name}.')}"
        return f"module.{key}"

    def bare_key(self, key: str) -> str:
        """Return what a tensor is called in the module's own state dict: undoes `own_key`."""
        part, _, rest = key.partition(".")
        return f"{self.layer_name}.{rest}" if part == "classifier" else rest

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load as `nn.Module` does; a bare dict counts as written by this version of the layers.

        Some layers refuse a dict that does not say (torchvision's MNASNet). Batch norms alone are
        not told: an old file without their counts of batches fits all the same.
        """
        if not hasattr(state_dict, "_metadata"):
            versions: dict[str, Any] = getattr(self.state_dict(), "_metadata")  # noqa: B009
            for name, part in self.named_modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    versions.pop(name, None)
            state_dict = OrderedDict(state_dict)
            setattr(state_dict, "_metadata", versions)  # noqa: B010 - torch's own way
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def features(self, x: Tensor) -> Tensor:
        """Return what the last linear layer sees: [N,C,H,W] in [0, 1] -> [N,D].

        Raises:
            InputError: there are no features.
        """
        self._last_layer()
        return self._outputs(x)

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,D] -> [N,K].

        Raises:
            InputError: there are no features.
        """
        return self._last_layer()(z)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits: [N,C,H,W] in [0, 1] -> [N,K]."""
        outputs = self._outputs(x)
        return outputs if self.classifier is None else self.classifier(outputs)

    def _last_layer(self) -> nn.Linear:
        if self.classifier is None:
            raise InputError(f"this network has no features to show: {self.why_no_features}")
        return self.classifier

    def _outputs(self, x: Tensor) -> Tensor:
        """Return the features; where there are none, the logits."""
        return _part(self.module(self.pixels(x)), self._key)


def _volume(image_shape: tuple[int, int, int]) -> int:
    channels, height, width = image_shape
    return channels * height * width
