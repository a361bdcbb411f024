"""A person's own module as a classifier, in one call."""

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robust_core.errors import InputError, brief
from robust_core.models.adapted import AdaptedClassifier
from robust_core.models.base import check_shape
from robust_core.models.guard import call_foreign
from robust_core.models.pixels import PixelForm, pixel_layers

AROUND = (nn.DataParallel, nn.parallel.DistributedDataParallel)


class WrappedModel(AdaptedClassifier):
    """A person's module as a `Classifier`; made by `wrap_model`.

    Attributes:
        class_names: K names.
        form: what the person said of its pixels, and what a pass has shown of them.
        name: what the person calls it; may be empty.
        factory: the function that builds the module again, as package.module:function; None: there
            is none.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        class_names: tuple[str, ...],
        module: nn.Module,
        form: PixelForm,
        name: str,
        factory: str | None,
    ) -> None:
        super().__init__(image_shape, len(class_names), module, pixel_layers(form, image_shape))
        self.class_names = class_names
        self.form = form
        self.name = name
        self.factory = factory

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits: [N,C,H,W] in [0, 1] -> [N,K].

        Raises:
            InputError: the module has raised something.
        """
        return call_foreign(super().forward, x)


@torch.inference_mode(False)
def wrap_model(
    module: nn.Module,
    *,
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
    class_names: Sequence[str],
    image_shape: Sequence[int],
    name: str | None = None,
    input_size: int | None = None,
    factory: str | None = None,
) -> WrappedModel:
    """Return a person's own network as a `Classifier`, which works wherever one of ours does.

    The classifier holds a copy in float32, in eval mode and frozen: the module itself stays as it
    is, and what is measured does not change when it is trained further. `DataParallel` and
    `torch.compile` around it are taken off.

    How the pixels are normalised must be said, for no file and no module tells it: `mean` and `std`
    of images in [0, 1], as in `torchvision.transforms.Normalize`, or None for both where the module
    takes images in [0, 1] as they are (perhaps because it normalises them itself).

    Logits are taken from a tensor [N,K], from `.logits`, from the entry "logits" of a dict, or from
    the only tensor of that shape in a dict or tuple. A module that writes to its input gets copies.
    Grey images are repeated on three channels where it has three. `features` are what its last
    linear layer sees, if its logits are the output of that layer; else `why_no_features` says why
    there are none, and everything else works. A module whose two passes differ counts as
    stochastic.

    Args:
        module: maps images [N,C,H,W] to logits [N,K].
        mean: of each channel, or one number for all; None together with `std`: pixels in [0, 1].
        std: likewise.
        class_names: K names, in the order of the logits.
        image_shape: (C, H, W) of the images that the classifier shall take; C 1 or 3, H and W from
            8 to 256.
        name: what to call it.
        input_size: side to which they are resized inside, where the module was made for another
            size; None: they are not.
        factory: a function without arguments that returns such a module, as
            "package.module:function". `import_model` stores it with the weights where the module
            cannot become an ONNX graph; None: such a module cannot be stored.

    Warns in one sentence where the module returns probabilities.

    Raises:
        InputError: no module, one that cannot be copied or cannot take such images, or outputs that
            are not one logit a class.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"the model must be a torch.nn.Module, got a {type(module).__name__}")
    if (mean is None) != (std is None):
        raise InputError("mean and std belong together: give both, or None for both")
    names = _checked_names(class_names)
    shape = _checked_shape(image_shape, len(names))
    if input_size is not None and not 8 <= input_size <= 1024:
        raise InputError(f"input_size must be in [8, 1024], got {input_size}")
    copied = _copy_of(module)
    form = PixelForm(_numbers("mean", mean), _numbers("std", std), input_size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        form = _fitting(copied, form, shape)
        model = WrappedModel(shape, names, copied, form, name or "", factory)
        model.requires_grad_(False).eval()
        model.stochastic = _varies(model)
    return model


def _checked_names(class_names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(class_names, str) or not all(isinstance(one, str) for one in class_names):
        raise InputError(f"class_names must be a list of names, got {class_names!r}")
    return tuple(class_names)


def _checked_shape(image_shape: Sequence[int], num_classes: int) -> tuple[int, int, int]:
    if len(image_shape) != 3:
        raise InputError(f"image_shape must be (C, H, W), got {tuple(image_shape)}")
    channels, height, width = (int(side) for side in image_shape)
    check_shape((channels, height, width), num_classes)
    return channels, height, width


def _numbers(name: str, value: Sequence[float] | float | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = (value,) if isinstance(value, int | float) else value
    try:
        found = torch.as_tensor(numbers, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} should be one number a channel, got {value!r}") from None
    if not bool(torch.isfinite(found).all()) or (name == "std" and not bool((found > 0).all())):
        what = "positive numbers" if name == "std" else "finite numbers"
        raise InputError(f"{name} should be {what}, one a channel, got {value!r}")
    return tuple(found.tolist())


def _copy_of(module: nn.Module) -> nn.Module:
    """Return a frozen float32 copy in eval mode, without what is around the network."""
    while True:
        inner = module.module if isinstance(module, AROUND) else vars(module).get("_orig_mod")
        inner = inner or module._modules.get("_orig_mod")
        if not isinstance(inner, nn.Module):
            break
        module = inner
    try:
        copied = copy.deepcopy(module)
    except Exception as error:  # somebody else's code may raise anything
        raise InputError(
            f"the model cannot be copied ({type(error).__name__}: {brief(str(error))}); it can be "
            "attacked and evaluated as it is, without wrap_model"
        ) from error
    return copied.float().requires_grad_(False).eval()


@torch.no_grad()
def _fitting(module: nn.Module, form: PixelForm, shape: tuple[int, int, int]) -> PixelForm:
    """Return the form with what a pass shows: grey images repeated, input copied."""
    forms = [form]
    if shape[0] == 1:
        forms.append(PixelForm(form.mean, form.std, form.size, colour=True))
    if form.mean is not None and len(form.mean) == 3:
        forms = forms[-1:]
    for number, tried in enumerate(forms):
        x = pixel_layers(tried, shape)(torch.full((1, *shape), 0.5))
        before = x.clone()
        try:
            call_foreign(module, x)
        except InputError as error:
            if number < len(forms) - 1:
                continue
            hint = "" if form.size is not None else "; input_size resizes the images inside"
            raise InputError(f"{error}{hint}") from error
        writes = not torch.equal(x, before)
        return PixelForm(tried.mean, tried.std, tried.size, tried.colour, writes)
    raise AssertionError("a form is returned or refused")


@torch.no_grad()
def _varies(model: WrappedModel) -> bool:
    """Return whether two passes of an image differ; warn of probabilities."""
    x = torch.rand((8, *model.image_shape))
    logits = model(x)
    within = bool(((logits >= 0) & (logits <= 1)).all())
    if within and bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all()):
        warnings.warn(
            "the model returns probabilities; wrap it without its softmax, or attacks look weaker "
            "than they are",
            stacklevel=3,
        )
    return not torch.equal(model(x), logits)
