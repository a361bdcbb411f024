"""The faster copies of a model, kept as long as the model lives and does not change."""

import copy
import threading
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from robust_core.acceleration.calibration import LARGEST_FEW, Calibration, Copy, calibrate
from robust_core.acceleration.compilation import CompiledStep
from robust_core.acceleration.mode import (
    Acceleration,
    current_acceleration,
    use_acceleration,
)
from robust_core.models.base import Classifier
from robust_core.models.fusion import FusedForm
from robust_core.models.guard import ModelWrapper

LAYERS = {  # of torch, in any network
    nn.Sequential,
    nn.Conv2d,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Linear,
}


class InPrecision(nn.Module):
    """`body` computed in another precision with channels last; float32 in and out."""

    def __init__(self, body: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.body = body.to(dtype=dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """Return body(x): [N,C,H,W] -> [N,D]."""
        x = x.to(dtype=self.dtype).contiguous(memory_format=torch.channels_last)
        return self.body(x).float()


def optimised(model: nn.Module) -> nn.Module:
    """Return the optimised copy of `model` for `current_acceleration`: the same predictions.

    Only networks are optimised whose class itself declares a fused form (`Classifier.fused_form`)
    that covers every part, unmodified, in eval mode and without parameters that require a gradient:
    a model in training, a stochastic or masked one, one with hooks, or any unknown model is
    returned unchanged. Copies are kept while the model lives; a model whose tensors were replaced
    or written to since (by `load_state_dict`, or any other operation that torch counts as a change)
    gets new ones.
    """
    acceleration = current_acceleration()
    if acceleration.precision == "reference" or not _is_known(model):
        return model
    versions = _versions(model)
    if versions is None:
        return model
    with _LOCK:
        kept = _COPIES.get(model)
        if kept is None or kept.versions != versions:
            kept = _COPIES[model] = _Copies(model, versions)
    return kept.get(model, acceleration)


def measured_choice(model: nn.Module) -> Calibration | None:
    """Return what the acceleration "fastest" chose for a model; None: it is not optimised.

    It is measured now where it has not been.
    """
    with use_acceleration(Acceleration("fastest")):
        optimised(model)
    kept = _COPIES.get(model)
    return None if kept is None else kept.measured


def search_model(model: nn.Module) -> nn.Module:
    """Return the model whose gradients an attack follows: `model`, or its bfloat16 copy."""
    return getattr(model, "search_model", model)


def is_optimised(model: nn.Module) -> bool:
    """Return whether `model` is, or wraps, an optimised copy."""
    return any(isinstance(part, InPrecision) for part in model.modules())


def exact_model(model: nn.Module) -> nn.Module:
    """Return the float32 model that decides: `model` itself, or its float32 copy."""
    return getattr(model, "exact_model", model)


class OptimisedModel(ModelWrapper):
    """An optimised float32 copy that decides, with a bfloat16 copy or a compiled step for search.

    Called, it computes as its float32 copy; a wrapper that needs the search (to count passes, for
    instance) passes on `exact_model`, `search_model` and `search_step`.

    Attributes:
        exact_model: the float32 copy that decides.
        search_model: the copy whose gradients the attack follows.
        search_step: compiled gradient of the search model, or None.
    """

    def __init__(
        self, exact_model: nn.Module, search_model: nn.Module, search_step: CompiledStep | None
    ) -> None:
        super().__init__(exact_model)
        self.exact_model = exact_model
        self.search_model = search_model
        self.search_step = search_step
        self.eval()


class SearchByBatch(nn.Module):
    """The copy that is the fastest for a batch of this size; all have the same weights."""

    def __init__(self, few: nn.Module, many: nn.Module) -> None:
        """Take the model for up to `LARGEST_FEW` images and the one for more."""
        super().__init__()
        self.few, self.many = few, many

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits: [N,C,H,W] -> [N,K]."""
        return self._choice(x)(x)

    def features(self, x: Tensor) -> Tensor:
        """Return the features of the chosen copy: [N,C,H,W] -> [N,D]."""
        chosen: Any = self._choice(x)
        return chosen.features(x)

    def _choice(self, x: Tensor) -> nn.Module:
        return self.few if len(x) <= LARGEST_FEW else self.many


class _Copies:
    """The optimised copies of one state of a model, each made at its first use."""

    def __init__(self, model: nn.Module, versions: tuple[tuple[int, int], ...]) -> None:
        self.versions = versions
        self.measured: Calibration | None = None
        self._lock = threading.Lock()
        self._exact = _optimised_copy(model, torch.float32)
        self._low: Classifier | None = None
        self._ready: dict[Acceleration, nn.Module] = {Acceleration("float32"): self._exact}

    def get(self, model: nn.Module, acceleration: Acceleration) -> nn.Module:
        """Return the copy for `acceleration`."""
        with self._lock:
            if acceleration not in self._ready:
                self._ready[acceleration] = self._make(model, acceleration)
            return self._ready[acceleration]

    def _make(self, model: nn.Module, acceleration: Acceleration) -> nn.Module:
        if acceleration.precision == "fastest":
            return self._fastest(model)
        search = self._exact
        if acceleration.precision == "bfloat16":
            search = self._low_precision(model)
        step = None
        if acceleration.compiled != "no":
            step = CompiledStep(search, in_background=acceleration.compiled == "background")
        return OptimisedModel(self._exact, search, step)

    def _low_precision(self, model: nn.Module) -> Classifier:
        self._low = self._low or _optimised_copy(model, torch.bfloat16)
        return self._low

    def _fastest(self, model: nn.Module) -> nn.Module:
        """Return the copies that were measured to be the fastest, or the model itself."""
        assert isinstance(model, Classifier)
        search: dict[Copy, nn.Module] = {
            "reference": model,
            "float32": self._exact,
            "bfloat16": self._low_precision(model),
        }
        exact: dict[Copy, nn.Module] = {**search, "bfloat16": self._exact}
        measured = calibrate(search, exact, model.image_shape, _kind(model))
        self.measured = measured
        few, many = measured.for_few, measured.for_many
        if measured.compile and many == "bfloat16":
            step = CompiledStep(search[many], in_background=False)
            return OptimisedModel(self._exact, search[many], step)
        if few == many == "reference":
            return model
        if few == many:
            return (
                self._exact
                if many == "float32"
                else OptimisedModel(self._exact, search[many], None)
            )
        return OptimisedModel(exact[many], SearchByBatch(search[few], search[many]), None)


_COPIES: WeakKeyDictionary[nn.Module, _Copies] = WeakKeyDictionary()
_LOCK = threading.Lock()


def _form(model: nn.Module) -> FusedForm | None:
    """Return the form that exactly this class declares; a subclass inherits none."""
    form = vars(type(model)).get("fused_form")
    return form if isinstance(form, FusedForm) else None


def _kind(model: nn.Module) -> str:
    """Return what decides how long a network takes: its class and the shapes of its weights."""
    shapes = ";".join(f"{key}{list(one.shape)}" for key, one in model.state_dict().items())
    return f"{type(model).__module__}.{type(model).__qualname__};{shapes}"


def _is_known(model: nn.Module) -> bool:
    form = _form(model)
    return form is not None and all(
        (part is model or type(part) in LAYERS or type(part) in form.parts)
        and not part.training
        and "forward" not in vars(part)
        and not (part._forward_hooks or part._forward_pre_hooks)
        and not (part._backward_hooks or part._backward_pre_hooks)
        and not (isinstance(part, nn.BatchNorm2d) and part.running_var is None)
        for part in model.modules()
    )


def _versions(model: nn.Module) -> tuple[tuple[int, int], ...] | None:
    """Return versions that change when a tensor is replaced or written to; None: unknown."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.requires_grad or tensor.is_inference() for tensor in tensors):
        return None
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in tensors):
        return None
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)


def _optimised_copy(model: nn.Module, dtype: torch.dtype) -> Classifier:
    clone = copy.deepcopy(model)
    assert isinstance(clone, Classifier)
    form = _form(model)
    assert form is not None
    body = form.fuse(clone.get_submodule(form.body), dtype)
    clone.set_submodule(form.body, InPrecision(body, dtype))
    return clone.eval().requires_grad_(False)
